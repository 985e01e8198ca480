/* Sandbox kit: a process gives up what its work does not need.
 *
 * A program has a table of the system calls it makes, with what their
 * arguments may be, and a list of the folders and files it opens.  All else is
 * refused by the kernel: seccomp for calls, landlock for files.  Both hold for
 * the rest of the process's life and for all of its threads.
 *
 * seccomp cannot read a path, and landlock does not cover stat: so no table may
 * allow a call that asks for the facts of a path.  fstat stays, in all the ways
 * in which a libc makes it. */
#ifndef FLOTILLA_BASE_SANDBOX_H
#define FLOTILLA_BASE_SANDBOX_H

#include <flotilla/base.h>

/* Without a part that the kernel does not have: refuse to work, or warn. */
enum flo_sandbox_mode { FLO_SANDBOX_REQUIRED, FLO_SANDBOX_PREFERRED };
/* "required", "preferred"; false: neither. */
bool flo_sandbox_mode_parse(const char *word, enum flo_sandbox_mode *out);
const char *flo_sandbox_mode_word(enum flo_sandbox_mode mode);

/* Can this build enter one?  A sanitizer needs more than any table allows, so
 * its programs run without and count as if they had one. */
bool flo_sandbox_is_built(void);

#define FLO_SANDBOX_PART_CALLS "seccomp filters"
#define FLO_SANDBOX_PART_FILES "landlock (version 2 or later)"

/* The part that this kernel lacks; NULL: it has all. */
const char *flo_sandbox_lacks(void);

/* FLO_E_SANDBOX when it is required, else a warning and 0. */
FLO_MUST_USE int flo_sandbox_miss(enum flo_sandbox_mode mode, const char *part,
                                  struct flo_err *err);

/* ---- before: limits ---- */

/* Soft and hard; what does not work is logged. */
void flo_sandbox_limit(int resource, uint64_t value);
/* No core file, no ptrace by others of the same user, no new privileges. */
void flo_sandbox_close_memory(void);

/* ---- rights of root ---- */

/* Give up all capabilities but these (a bit each: 1 << CAP_...), the ambient
 * and inheritable ones too; what is not there is not given.  `effective` of
 * those `permitted`.  The calling thread alone: call it before there are
 * others, and before a filter.  FLO_E_PROCESS. */
FLO_MUST_USE int flo_sandbox_keep_rights(uint64_t permitted, uint64_t effective,
                                         struct flo_err *err);

/* ---- system calls ---- */

enum flo_sandbox_action {
    FLO_SANDBOX_ALLOW,
    FLO_SANDBOX_REFUSE, /* fails with `error` */
    FLO_SANDBOX_KILL,
    /* newfstatat and its like: with an empty path it is answered as fstat, any
     * other path fails with EACCES. */
    FLO_SANDBOX_FSTAT,
};

/* (argument & mask) == value, over all 64 bits of it; mask 0: no condition. */
struct flo_sandbox_condition {
    uint8_t argument;
    uint64_t mask;
    uint64_t value;
};
/* As a value: the number of this process. */
#define FLO_SANDBOX_SELF UINT64_MAX

/* One call, in the stages of `stages` (a bit each).  The first rule of its
 * number whose conditions all hold decides. */
struct flo_sandbox_rule {
    long number;
    uint8_t stages;
    uint8_t action;
    uint16_t error;
    struct flo_sandbox_condition when[3];
};

/* Rows of a table.  Arguments of 32 bits have a mask of 32 bits. */
#define FLO_CALL(stages, name)                                                                     \
    {                                                                                              \
        SYS_##name, stages, FLO_SANDBOX_ALLOW, 0,                                                  \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define FLO_CALL_IF(stages, name, argument, mask, value)                                           \
    {                                                                                              \
        SYS_##name, stages, FLO_SANDBOX_ALLOW, 0,                                                  \
        {                                                                                          \
            {                                                                                      \
                argument, mask, value                                                              \
            }                                                                                      \
        }                                                                                          \
    }
#define FLO_CALL_VAIN(stages, name, error)                                                         \
    {                                                                                              \
        SYS_##name, stages, FLO_SANDBOX_REFUSE, error,                                             \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define FLO_CALL_FSTAT(stages, name)                                                               \
    {                                                                                              \
        SYS_##name, stages, FLO_SANDBOX_FSTAT, 0,                                                  \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
/* Threads as a libc makes them: with all that threads share, and in no
 * namespace of their own.  musl adds a flag that says nothing. */
#define FLO_CALL_THREAD(stages)                                                                    \
    FLO_CALL_IF(stages, clone, 0, ~(uint64_t)CLONE_DETACHED,                                       \
                CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
                    CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
/* One option of a socket; a table ends them with FLO_CALL_VAIN(…, setsockopt,
 * ENOPROTOOPT): libraries then go without. */
#define FLO_CALL_OPTION(stages, level, option)                                                     \
    {                                                                                              \
        SYS_setsockopt, stages, FLO_SANDBOX_ALLOW, 0,                                              \
        {                                                                                          \
            {1, FLO_SANDBOX_INT, level},                                                           \
            {                                                                                      \
                2, FLO_SANDBOX_INT, option                                                         \
            }                                                                                      \
        }                                                                                          \
    }
#define FLO_SANDBOX_EVER 0xff /* all stages */
#define FLO_SANDBOX_INT UINT32_MAX
#define FLO_SANDBOX_WORD UINT64_MAX

struct flo_sandbox_policy {
    const struct flo_sandbox_rule *rules;
    size_t count;
    int error; /* answer to calls that no rule has; 0: the process is killed */
};

/* Enter a stage; a later one can only take more away.  Calls of another
 * machine's table (i386, x32) kill.  1: in force, 0: this kernel or build has
 * no filters, FLO_E_PROCESS. */
FLO_MUST_USE int flo_sandbox_filter(const struct flo_sandbox_policy *policy, uint8_t stage,
                                    struct flo_err *err);

/* ---- files ---- */

enum flo_sandbox_access {
    FLO_SANDBOX_READ,
    FLO_SANDBOX_SHELF,   /* and remove files; take in those of a STORE, after
                            which nobody writes to them */
    FLO_SANDBOX_STORE,   /* and write, make and remove plain files */
    FLO_SANDBOX_RUN,     /* read, and run as programs */
    FLO_SANDBOX_SCRATCH, /* read, write, make and remove all but devices */
    FLO_SANDBOX_DEVICE,  /* read, write and control */
    FLO_SANDBOX_OWN,     /* read, and write to files that are there: /proc/self */
};
/* TCP: none; to connect; to serve, too. */
enum flo_sandbox_net { FLO_SANDBOX_NO_TCP, FLO_SANDBOX_CONNECTS, FLO_SANDBOX_TCP };
struct flo_sandbox_path {
    const char *path; /* NULL, or nothing there: no permission */
    enum flo_sandbox_access access;
};

bool flo_sandbox_has_landlock(void);

/* Only what lies at or below these paths may be opened; descriptors that are
 * open stay.  TCP is left as far as `net` says; no
 * signal leaves the sandbox (each where the kernel knows of it).  Call it
 * before there are threads.  1: in force, 0: no landlock (of version 2 or
 * later) in this kernel or build, FLO_E_PROCESS. */
FLO_MUST_USE int flo_sandbox_files(const struct flo_sandbox_path *paths, size_t count,
                                   enum flo_sandbox_net net, struct flo_err *err);

#endif
