/* Sandbox kit: functions by which a process gives up the rights that its work
 * does not need.
 *
 * A program has a table of the system calls it makes, with the allowed
 * arguments, and a list of the folders and files it opens.  The kernel refuses
 * all others: seccomp filters the calls, landlock the files.  Both hold for all
 * threads until the process ends.
 *
 * seccomp cannot read a path, and landlock does not cover stat.  So no table
 * may allow a call that stats a path.  fstat is allowed, in all the forms that
 * a libc uses. */
#ifndef FLOTILLA_BASE_SANDBOX_H
#define FLOTILLA_BASE_SANDBOX_H

#include <flotilla/base.h>

/* Behaviours on a kernel that lacks a part of the sandbox: refuse to work, or
 * warn. */
enum flo_sandbox_mode { FLO_SANDBOX_REQUIRED, FLO_SANDBOX_PREFERRED };
/* Parses "required" or "preferred".  Returns false for another word. */
bool flo_sandbox_mode_parse(const char *word, enum flo_sandbox_mode *out);
const char *flo_sandbox_mode_word(enum flo_sandbox_mode mode);

/* Tells whether this build supports the sandbox.  Builds with a sanitizer need
 * more calls than any table allows, so their programs run without a sandbox and
 * act as if they had one. */
bool flo_sandbox_is_built(void);

#define FLO_SANDBOX_PART_CALLS "seccomp filters"
#define FLO_SANDBOX_PART_FILES "landlock (version 2 or later)"

/* Returns the name of the sandbox part that this kernel lacks, or NULL when it
 * has all. */
const char *flo_sandbox_lacks(void);

/* Handles a missing part.  Returns FLO_E_SANDBOX when the sandbox is required;
 * else logs a warning and returns 0. */
FLO_MUST_USE int flo_sandbox_miss(enum flo_sandbox_mode mode, const char *part,
                                  struct flo_err *err);

struct flo_sandbox_policy;
/* Ends a process's own confinement: `files` is what flo_sandbox_files() returned, and
 * stage 1 of the policy is entered.  A part that this kernel lacks goes through
 * flo_sandbox_miss().  Returns 0, or the error of either part. */
FLO_MUST_USE int flo_sandbox_close(int files, const struct flo_sandbox_policy *policy,
                                   enum flo_sandbox_mode mode, struct flo_err *err);

/* ---- before: limits ---- */

/* Sets the soft and the hard limit of a resource.  A failure is logged. */
void flo_sandbox_limit(int resource, uint64_t value);
/* Forbids core files, ptrace by other processes of the user, and new
 * privileges. */
void flo_sandbox_close_memory(void);

/* ---- rights of root ---- */

/* Gives up all capabilities but these (a bit each: 1 << CAP_...), including the
 * ambient and inheritable ones.  Capabilities that the process lacks are not
 * added.  `effective` must be a subset of `permitted`.  Only the calling thread
 * changes, so call it before other threads exist, and before a filter.
 * FLO_E_PROCESS. */
FLO_MUST_USE int flo_sandbox_keep_rights(uint64_t permitted, uint64_t effective,
                                         struct flo_err *err);

/* ---- system calls ---- */

enum flo_sandbox_action {
    FLO_SANDBOX_ALLOW,
    FLO_SANDBOX_REFUSE, /* the call fails with the policy's `error` */
    FLO_SANDBOX_KILL,
    /* for newfstatat and similar calls: an empty path acts as fstat, any other
     * path fails with EACCES */
    FLO_SANDBOX_FSTAT,
};

/* Condition (argument & mask) == value on all 64 bits of an argument; mask 0:
 * no condition. */
struct flo_sandbox_condition {
    uint8_t argument;
    uint64_t mask;
    uint64_t value;
};
/* A value in a condition that means this process's id. */
#define FLO_SANDBOX_SELF UINT64_MAX

/* Rule for one system call.  It holds in the stages whose bits are set in
 * `stages`.  The first rule for a call whose conditions all hold decides. */
struct flo_sandbox_rule {
    long number;
    uint8_t stages;
    uint8_t action;
    uint16_t error;
    struct flo_sandbox_condition when[3];
};

/* Row of a table that allows a call.  Conditions on 32-bit arguments need a
 * 32-bit mask. */
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
/* Allows thread creation as a libc does it: clone() that shares all memory
 * and files and makes no namespace.  musl sets an extra flag, which has no
 * effect. */
#define FLO_CALL_THREAD(stages)                                                                    \
    FLO_CALL_IF(stages, clone, 0, ~(uint64_t)CLONE_DETACHED,                                       \
                CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
                    CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
/* Allows one socket option.  A table ends the list with FLO_CALL_VAIN(…,
 * setsockopt, ENOPROTOOPT), so that libraries do without other options. */
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
/* Kills the process: a call that only an attacker would make. */
#define FLO_CALL_KILL(stages, name)                                                                \
    {                                                                                              \
        SYS_##name, stages, FLO_SANDBOX_KILL, 0,                                                   \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#ifdef SYS_fcntl64
#define FLO_SANDBOX_FCNTL SYS_fcntl64
#else
#define FLO_SANDBOX_FCNTL SYS_fcntl
#endif
#define FLO_CALL_FCNTL(stages, command)                                                            \
    {                                                                                              \
        FLO_SANDBOX_FCNTL, stages, FLO_SANDBOX_ALLOW, 0,                                           \
        {                                                                                          \
            {                                                                                      \
                1, FLO_SANDBOX_WORD, command                                                       \
            }                                                                                      \
        }                                                                                          \
    }
/* Allows socket() or socketpair() of one kind, with or without SOCK_CLOEXEC and
 * SOCK_NONBLOCK. */
#define FLO_CALL_SOCKET(stages, name, domain, kind, protocol)                                      \
    {                                                                                              \
        SYS_##name, stages, FLO_SANDBOX_ALLOW, 0,                                                  \
        {                                                                                          \
            {0, FLO_SANDBOX_INT, domain}, {1, 0xfu, kind},                                         \
            {                                                                                      \
                2, FLO_SANDBOX_INT, protocol                                                       \
            }                                                                                      \
        }                                                                                          \
    }
#define FLO_SANDBOX_EVER 0xff /* all stages */
#define FLO_SANDBOX_INT UINT32_MAX
#define FLO_SANDBOX_WORD UINT64_MAX

struct flo_sandbox_policy {
    const struct flo_sandbox_rule *rules;
    size_t count;
    int error; /* errno of calls without a rule; 0: such a call kills the process */
};

/* Enters a stage; later stages can only remove rights.  Calls of another ABI
 * (i386, x32) kill the process.  Returns 1 when the filter is in force, 0 when
 * this kernel or build has no filters, or FLO_E_PROCESS. */
FLO_MUST_USE int flo_sandbox_filter(const struct flo_sandbox_policy *policy, uint8_t stage,
                                    struct flo_err *err);

/* ---- files ---- */

enum flo_sandbox_access {
    FLO_SANDBOX_READ,
    /* read and remove files; receive files of a FLO_SANDBOX_STORE, which become
     * read-only */
    FLO_SANDBOX_SHELF,
    FLO_SANDBOX_STORE,   /* as FLO_SANDBOX_SHELF; also write, make and remove plain files */
    FLO_SANDBOX_RUN,     /* read, and run as programs */
    FLO_SANDBOX_SCRATCH, /* read, write, make and remove all kinds of files except devices */
    FLO_SANDBOX_DEVICE,  /* read, write and control */
    FLO_SANDBOX_OWN,     /* read, and write to existing files: /proc/self */
};
/* Bits: rights of the sandbox besides files. */
enum flo_sandbox_leave {
    FLO_SANDBOX_NO_TCP = 0,
    FLO_SANDBOX_CONNECTS = 1,
    FLO_SANDBOX_TCP = 3, /* connects, and listens */
    FLO_SANDBOX_SIGNALS = 4,
};
struct flo_sandbox_path {
    const char *path; /* NULL, or a file that is missing: the row is ignored */
    enum flo_sandbox_access access;
};

bool flo_sandbox_has_landlock(void);

/* Limits the files that may be opened to those at or below these paths.  Open
 * descriptors stay usable.  TCP and signals are limited to `leaves` if the kernel
 * supports it.  Call it before there are threads.  Returns 1 when the limits are in force, 0 when
 * this kernel or build has no landlock (version 2 or later), or FLO_E_PROCESS. */
FLO_MUST_USE int flo_sandbox_files(const struct flo_sandbox_path *paths, size_t count,
                                   unsigned leaves, struct flo_err *err);

/* Files that TLS with the system's authorities and name lookup read, for a
 * process that connects to servers. */
#define FLO_SANDBOX_NETWORK_PATHS 21
void flo_sandbox_network_paths(struct flo_sandbox_path out[FLO_SANDBOX_NETWORK_PATHS]);
/* Does one lookup before the sandbox: a resolver reads its list of services
 * once, and stats paths before it reads the list again. */
void flo_sandbox_network_begin(void);

#endif
