/* A process that a signal ends (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT)
 * leaves a note of what it was doing, and of whose request that was.  Its next
 * start reads the note.
 *
 * flo_crash_doing and flo_crash_done are cheap and may be called by any thread:
 * each has a note of its own. */
#ifndef FLOTILLA_BASE_CRASH_H
#define FLOTILLA_BASE_CRASH_H

#include <flotilla/base.h>

#define FLO_CRASH_WHO 96
#define FLO_CRASH_WHAT 256
#define FLO_CRASH_TEXT 512

struct flo_crash {
    char signal[16];           /* SIGSEGV */
    bool is_after;             /* nothing was being done: this was the last */
    char who[FLO_CRASH_WHO];   /* all three: printable, cut to their room */
    char what[FLO_CRASH_WHAT]; /* "PUT /v1/alert-rules/eu" */
    char text[FLO_CRASH_TEXT]; /* body of the request, or "" */
};

/* From now on such a signal writes `path`.  The process still ends by it, with
 * a core where the machine keeps those.  Once, before other threads begin.  In
 * a build with sanitizers, which report it themselves, nothing happens. */
void flo_crash_open(const char *path);
/* This thread works for `who` until flo_crash_done.  The texts are copied;
 * `text` has no NUL. */
void flo_crash_doing(const char *who, const char *method, const char *path, const char *text,
                     size_t bytes);
void flo_crash_done(void);
/* Is there a note?  One that cannot be read is none. */
bool flo_crash_read(const char *path, struct flo_crash *out);

#endif
