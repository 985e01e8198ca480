/* Crash note: a process that dies by SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT
 * writes what it was doing, and for whom.  The program reads the note at its
 * next start.
 *
 * flo_crash_doing and flo_crash_done are cheap and may be called by any thread:
 * each thread has a record of its own. */
#ifndef FLOTILLA_BASE_CRASH_H
#define FLOTILLA_BASE_CRASH_H

#include <flotilla/base.h>

#define FLO_CRASH_WHO 96
#define FLO_CRASH_WHAT 256
#define FLO_CRASH_TEXT 512

struct flo_crash {
    char signal[16]; /* name of the signal, such as SIGSEGV */
    /* true: the work named here was done, and the crash came after it */
    bool is_after;
    /* person or program that the work was for; the three texts are printable,
     * and cut if too long */
    char who[FLO_CRASH_WHO];
    /* method and path of the request, such as "PUT /v1/alert-rules/eu" */
    char what[FLO_CRASH_WHAT];
    char text[FLO_CRASH_TEXT]; /* body of the request, or "" */
};

/* Installs the signal handlers, which write the note to `path`.  The process
 * still dies by the signal, with a core file if the machine keeps core files.
 * Call it once, before other threads begin.  A build with sanitizers does
 * nothing here, because those report crashes themselves. */
void flo_crash_open(const char *path);
/* Records that this thread works for `who`, until flo_crash_done().  The texts
 * are copied.  `text` has `bytes` bytes and need not end with NUL. */
void flo_crash_doing(const char *who, const char *method, const char *path, const char *text,
                     size_t bytes);
void flo_crash_done(void);
/* Reads the note.  Returns false when it is missing or unreadable. */
bool flo_crash_read(const char *path, struct flo_crash *out);

#endif
