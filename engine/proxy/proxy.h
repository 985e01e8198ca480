/* Proxy: serves the agent's frames with another runtime instead of our engine.
 *
 *   proxy.c     the loop, health           settings.c  what to start
 *   guard.c     guard and parser           walls.c     the walls of both
 *   start.c     names and namespaces       keeper.c    ends all processes
 *   memory.c    memory of the processes    confine.c   its cgroup, its user
 *   check.c     a program for each golden case, where there is no server
 *   requests.c  GENERATE and EMBED         body.c      as OpenAI's JSON
 *   answer.c    the contents of an answer
 *   calls.c     calls in an answer, checked against the offered tools
 *   form.c      its text, checked against the form that was asked for
 *
 * answer.c, calls.c, form.c and settings.c do no I/O.  Everything that the runtime
 * sends is bounded before it is stored. */
#ifndef FLOTILLA_ENGINE_PROXY_H
#define FLOTILLA_ENGINE_PROXY_H

#include <flotilla/engine_wire.h>

#include "base/cgroup.h"
#include "base/sandbox.h"
#include "base/scratch.h"
#include "base/tree/tree.h"
#include "engine/http/http.h"

/* ---- settings.c ---- */

#define FLO_RUNTIME_ARGS_MAX 64
#define FLO_RUNTIME_PATHS_MAX 16
#define FLO_RUNTIME_ENV_MAX 32
#define FLO_RUNTIME_SESSIONS_MAX 64
#define FLO_RUNTIME_JSON_MAX (512u << 10)

enum flo_runtime_api {
    FLO_RUNTIME_OPENAI,
    FLO_RUNTIME_HTTP,
    FLO_RUNTIME_NONE, /* the runtime has no server: `exec` is a check, run for each golden case */
};

/* Settings of a runtime from the agent's JSON (contracts/processes.md 4.1).
 * The texts point into `text`. */
struct flo_runtime {
    struct flo_tree tree;
    char *text;
    const char *name, *health, *model;
    const char *prefix; /* path used instead of /v1 in requests of OpenAI's API */
    const char *exec[FLO_RUNTIME_ARGS_MAX + 1];
    enum flo_runtime_api api;
    uint64_t ready_ms, stop_ms, memory_bytes;
    uint32_t sessions, context, threads;
    uint64_t abilities;
    bool has_network; /* the runtime uses the host's network */
    bool has_user;    /* the runtime runs as a separate user */
    uint32_t uid, gid;
    const char *read[FLO_RUNTIME_PATHS_MAX + 1];
    const char *devices[FLO_RUNTIME_PATHS_MAX + 1];
    const char *env[FLO_RUNTIME_ENV_MAX][2];
    uint32_t n_env;
};
/* Reads the settings.  FLO_E_RUNTIME_START names the field that is invalid. */
FLO_MUST_USE int flo_runtime_read(struct flo_runtime *runtime, struct flo_wire_text json,
                                  struct flo_err *err);
void flo_runtime_deinit(struct flo_runtime *runtime);

/* ---- answer.c: what stands in a body ---- */

#define FLO_ANSWER_BYTES_MAX (16u << 20) /* most bytes of an answer with vectors */

/* Contents of one event of a stream, or of a whole answer. */
struct flo_answer_part {
    struct flo_wire_text text; /* text of the answer; all texts here are valid UTF-8 */
    struct flo_wire_text thought;
    const struct flo_tree_node *calls; /* first entry for flo_answer_call(); NULL: no calls */
    bool has_finish;
    uint32_t reason; /* enum flo_wire_reason */
    bool has_usage;
    uint32_t tokens_in, tokens_out;
};
/* A piece of a tool call.  Only the first piece of a call has the tool's
 * name. */
struct flo_answer_call {
    uint32_t index; /* number of the call; UINT32_MAX: the server gave none */
    struct flo_wire_text name, arguments;
};
/* Parses an event or a whole answer.  The texts of *part point into `data`.
 * FLO_E_RUNTIME_ANSWER: it is not valid. */
FLO_MUST_USE int flo_answer_read(char *data, size_t bytes, struct flo_tree *tree,
                                 struct flo_answer_part *part, struct flo_err *err);
/* Reads the piece of a call at *entry, and sets *entry to the next one.
 * FLO_E_RUNTIME_ANSWER: it is not valid. */
FLO_MUST_USE int flo_answer_call(const struct flo_tree_node **entry, struct flo_answer_call *call,
                                 struct flo_err *err);
/* Reads the vectors of `count` inputs.  `take` gets each vector in order,
 * scaled to length 1.  FLO_E_RUNTIME_ANSWER: they are not valid. */
FLO_MUST_USE int flo_answer_vectors(char *data, size_t bytes, uint32_t count,
                                    void (*take)(void *context, uint32_t index, const float *vector,
                                                 uint32_t length),
                                    void *context, uint32_t *tokens_in, struct flo_err *err);

/* ---- calls.c ---- */

/* State of checking the tool calls of one answer.  Zero-initialise. */
struct flo_proxy_calls {
    struct flo_buf callable; /* names of the allowed tools, each between line ends */
    bool one_call;
    uint32_t count;           /* number of calls that have begun */
    bool is_open;             /* the call that began last has not ended yet */
    char name[80];            /* tool of the call that began last, for error messages */
    struct flo_buf arguments; /* arguments of the call that began last, as far as received */
};
/* Stores the tools that a request allows.  FLO_E_INFER_PARAM: the tools are not
 * valid JSON.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_calls_expect(struct flo_proxy_calls *calls, const struct flo_wire_generate *in,
                                  struct flo_err *err);
/* Takes a piece of a call and writes it as parts for the agent.
 * FLO_E_RUNTIME_ANSWER names the runtime: a call is out of order, its tool was
 * not offered, only one call is allowed, or the call before has no JSON object
 * as arguments. */
FLO_MUST_USE int flo_calls_take(struct flo_proxy_calls *calls, const char *runtime,
                                const struct flo_answer_call *call, struct flo_buf *out,
                                struct flo_err *err);
/* Ends the call that began last.  A call without arguments gets `{}`.
 * FLO_E_RUNTIME_ANSWER: its arguments are no JSON object. */
FLO_MUST_USE int flo_calls_end(struct flo_proxy_calls *calls, const char *runtime,
                               struct flo_buf *out, struct flo_err *err);
void flo_calls_deinit(struct flo_proxy_calls *calls);

/* ---- form.c ---- */

/* Form of an answer that was asked for.  Zero-initialise. */
struct flo_proxy_form {
    bool is_asked;         /* the answer must be JSON */
    struct flo_buf schema; /* schema that it must fit; empty: any object */
};
/* Keeps the form that the request asks for.  FLO_E_INFER_SCHEMA: answers cannot
 * be checked against its schema.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_proxy_form_expect(struct flo_proxy_form *form,
                                       const struct flo_wire_generate *in, struct flo_err *err);
/* Checks the text of a complete answer.  FLO_E_INFER_FORM names the runtime and
 * the place in the answer.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_proxy_form_check(const struct flo_proxy_form *form, const char *runtime,
                                      struct flo_wire_text text, struct flo_err *err);
void flo_proxy_form_deinit(struct flo_proxy_form *form);

/* ---- body.c ---- */

/* Writes the whole HTTP request that asks the runtime for a GENERATE or
 * EMBED. */
void flo_body_write(const struct flo_runtime *runtime, const struct flo_wire_message *message,
                    struct flo_buf *out);
/* Writes the whole HTTP request of a health check. */
void flo_body_health(const struct flo_runtime *runtime, struct flo_buf *out);

/* ---- keeper.c ---- */

/* Settings of the keeper.  flo_keeper_run() starts the runtime, waits for its
 * end, kills all of its processes and removes the scratch folder.  It exits
 * with the runtime's status, or 128 + its signal.  If the proxy is gone, or at
 * SIGTERM, it asks the runtime to end, and kills it after stop_ms.  It has the rights that
 * the guard gives up: it looks at the runtime's memory and removes its cgroup. */
struct flo_keeping {
    const char *const *argv;
    char *const *environment;
    const char *scratch;
    const struct flo_sandbox_path *paths;
    size_t n_paths;
    uint64_t stop_ms;
    bool needs_files; /* without Landlock the runtime does not start */
    bool connects;    /* TCP */
    int output;       /* descriptor for the runtime's stdout; -1: /dev/null */
    int report;       /* descriptor for the text of an error if the runtime does not start */
    int errors;       /* the runtime's stderr */
    int guard;        /* socket: each byte asks for figures, see flo_runtime_look() */
    const struct flo_cgroup *group; /* folder empty: none */
    /* most bytes of writable memory per process, without a cgroup; 0: no
     * limit */
    uint64_t data_bytes_max;
    bool has_user;
    uint32_t uid, gid;
    pid_t proxy;
};
/* Mounts a /proc for the process namespace; called by its first process.
 * Returns false if hidden folders of /proc forbid it.  Without the mount, a
 * process reads another one's number in /proc/self, and a GPU's driver refuses
 * it. */
bool flo_keeper_show_processes(void);
/* Runs the keeper, and never returns.  It also removes a mount next to the
 * scratch folder, SCRATCH.tree, if the runtime has its own user. */
_Noreturn void flo_keeper_run(const struct flo_keeping *keeping);

/* ---- start.c ---- */

/* Figures of the runtime's processes, as its keeper tells them. */
struct flo_runtime_figures {
    uint64_t bytes, kills; /* memory; processes that the cgroup ended */
    uint32_t count;
};
#define FLO_RUNTIME_SOCKET "/http.sock" /* in the scratch folder */
struct flo_runtime_process {
    pid_t pid;  /* the keeper's */
    int keeper; /* socket; -1: closed */
    struct flo_runtime_figures figures;
    char scratch[FLO_SCRATCH_BYTES];
    int lock;         /* the scratch folder's lock, which the keeper has, too */
    char socket[108]; /* empty: the port */
    uint16_t port;
    char file[256]; /* file in the release's folder that a check gets as its input */
    /* write end of the pipe for a check's stdout; 0: no check.  Closed at the
     * start. */
    int output;
    int report, errors; /* pipes; -1: closed */
    char words[512];    /* the last bytes that the runtime wrote to stderr */
    size_t n_words;
    bool is_sandboxed;
    struct flo_cgroup group; /* folder empty: none */
};
/* Starts the runtime on the folder with the descriptor `tree`.
 * FLO_E_RUNTIME_START: it could not be started. */
FLO_MUST_USE int flo_runtime_start(const struct flo_runtime *runtime, int tree,
                                   struct flo_wire_text entry, enum flo_sandbox_mode mode,
                                   struct flo_runtime_process *process, struct flo_err *err);
/* Reads the process's pipes.  FLO_E_RUNTIME_START: the runtime did not start,
 * and the text tells why. */
FLO_MUST_USE int flo_runtime_listen(struct flo_runtime_process *process, struct flo_err *err);
/* Waits for the keeper's figures of this moment, at most half a second. */
void flo_runtime_look(struct flo_runtime_process *process);
/* Ends the runtime and waits until its keeper has exited.  The keeper is killed
 * two seconds after stop_ms. */
void flo_runtime_stop(struct flo_runtime_process *process, uint64_t stop_ms);
/* Sums the memory of the keeper's processes and counts them.  The memory is
 * Pss, or the resident size if Pss cannot be read. */
void flo_runtime_memory(pid_t keeper, uint64_t *bytes, uint32_t *count);

/* ---- confine.c ---- */

/* Puts the runtime into a cgroup with a memory limit.  If that fails, a warning
 * is logged. */
void flo_runtime_group(const struct flo_runtime *runtime, struct flo_runtime_process *process);
/* Returns the memory limit of the runtime's cgroup, which is 1.1 times the
 * planned memory. */
uint64_t flo_runtime_limit(const struct flo_runtime *runtime);
/* Lets the runtime's user read the release's folder and use the scratch folder.
 * `path` gets the path at which the user sees the release.  Needs root.
 * FLO_E_RUNTIME_START. */
FLO_MUST_USE int flo_runtime_own_user(const struct flo_runtime *runtime, int tree,
                                      struct flo_runtime_process *process, char *path,
                                      size_t path_bytes, struct flo_err *err);

/* ---- check.c: a runtime without a server ---- */

struct flo_proxy;
#define FLO_CHECK_BYTES_MAX 65536 /* most bytes that a check may write to stdout */

/* One run of a check.  It is in a process between proxy and keeper, with
 * namespaces of its own.  Zero-initialise. */
struct flo_check {
    pid_t pid; /* 0: none runs */
    uint32_t id;
    int output, report;
    uint64_t began_us;
    struct flo_buf text, said;
};
/* Runs the check on the file that a GENERATE names.  The answer is the check's
 * stdout and exit status. */
void flo_check_take(struct flo_proxy *proxy, const struct flo_wire_message *message);
/* Reads the check's output.  Answers the request when the check has ended. */
void flo_check_go_on(struct flo_proxy *proxy);
void flo_check_cancel(struct flo_proxy *proxy, uint32_t id);
void flo_check_end(struct flo_check *check);

/* ---- requests.c ---- */

struct flo_proxy_request;
void flo_proxy_take(struct flo_proxy *proxy, const struct flo_wire_message *message);
void flo_proxy_cancel(struct flo_proxy *proxy, uint32_t id);
/* Starts waiting requests as long as a session is free. */
void flo_proxy_begin(struct flo_proxy *proxy);
/* Continues a request whose descriptor poll() has reported. */
void flo_proxy_go_on(struct flo_proxy *proxy, struct flo_proxy_request *request);
void flo_proxy_forget_all(struct flo_proxy *proxy);

/* ---- proxy.c ---- */

struct flo_proxy_request {
    struct flo_proxy_request *next;
    uint32_t id, priority;
    bool is_embed;
    uint32_t n_inputs;
    uint64_t came_us, began_us, first_us, last_us;
    struct flo_exchange exchange;
    struct flo_events events;
    struct flo_buf body; /* body of an answer that does not arrive as a stream */
    /* text that is sent at the end: all text of an answer with a form, or text
     * that came after most pieces were sent */
    struct flo_buf held;
    struct flo_tree tree; /* a parsed event */
    uint32_t pieces, frames, frames_max, pieces_max;
    bool tells_parts; /* the agent wants thoughts and calls apart from the text */
    struct flo_proxy_calls calls;
    struct flo_proxy_form form;
    uint64_t answer_bytes, parts_bytes;
    struct flo_wire_done done;
    bool has_usage;
    struct flo_proxy *proxy;
};

enum flo_proxy_state { FLO_PROXY_WAITS, FLO_PROXY_STARTS, FLO_PROXY_SERVES };

struct flo_proxy {
    int socket;
    enum flo_sandbox_mode mode;
    enum flo_proxy_state state;
    uint32_t open_id;
    struct flo_buf in, out;
    int tree; /* descriptor of the folder that came with OPEN; -1: none */
    struct flo_runtime runtime;
    struct flo_runtime_process process;
    uint64_t started_ms;
    /* health */
    struct flo_exchange health;
    uint64_t asked_ms, good_ms, next_ms;
    uint32_t misses;
    uint32_t ping; /* number of PINGs to answer after the next health check */
    struct flo_check check;
    int guard;            /* socket between guard and parser; -1: a check has none */
    struct flo_err ended; /* what the guard told of the runtime's end; code 0: it is there */
    /* memory */
    uint64_t looked_ms, rss_bytes, rss_bytes_peak;
    uint32_t over;
    /* list of the requests, in order of arrival */
    struct flo_proxy_request *requests;
    uint32_t n_running;
    size_t waiting_bytes;
    uint64_t n_requests, tokens_in, tokens_out;
};

/* Adds the end of the runtime's stderr to the error, but only until the runtime
 * serves: later text might contain a prompt. */
void flo_proxy_add_words(const struct flo_proxy *proxy, struct flo_err *err);

/* ---- guard.c ---- */

/* Makes two processes of the proxy.  Returns in the parser alone, behind its walls;
 * the guard starts the runtime, and exits with the parser's status. */
FLO_MUST_USE int flo_guard_split(struct flo_proxy *proxy, struct flo_wire_text entry,
                                 struct flo_err *err);
/* Takes what the guard told.  Returns the error with which the runtime ended, or 0. */
FLO_MUST_USE int flo_guard_hear(struct flo_proxy *proxy, struct flo_err *err);
/* Waits for the guard's figures of this moment, a second at most. */
void flo_guard_look(struct flo_proxy *proxy);
/* Tells the guard that the runtime is healthy. */
void flo_guard_serves(struct flo_proxy *proxy);
/* Begins the exchange on a connection to the runtime that the guard makes. */
FLO_MUST_USE int flo_guard_connect(struct flo_proxy *proxy, struct flo_exchange *exchange,
                                   struct flo_err *err);
/* Looks once a second at the memory of the runtime's or the check's processes.
 * FLO_E_RUNTIME_MEMORY, FLO_E_RUNTIME_CRASH (too many processes). */
FLO_MUST_USE int flo_guard_memory(struct flo_proxy *proxy, uint64_t now_ms, struct flo_err *err);

/* ---- walls.c ---- */

/* Gives up rights, files, programs and new processes.  The guard signals the keeper and the
 * parser alone, and makes the kind of socket that its runtime has. */
FLO_MUST_USE int flo_guard_confine(struct flo_runtime_process *process, bool has_user, pid_t parser,
                                   enum flo_sandbox_mode mode, struct flo_err *err);

/* Gives up rights, files, programs, processes and sockets that are not open. */
FLO_MUST_USE int flo_parser_confine(enum flo_sandbox_mode mode, struct flo_err *err);

/* frames.c */
extern const struct flo_peer flo_proxy_peer; /* "the runtime" */
void flo_proxy_put(struct flo_proxy *proxy, const struct flo_wire_message *message);
void flo_proxy_fail(struct flo_proxy *proxy, uint32_t id, const struct flo_err *err);

/* Runs flotilla-engine proxy [required|preferred], which serves the agent's
 * socket, descriptor 3. */
int flo_cmd_proxy(void *line, struct flo_err *err);
/* Removes the scratch folders of runtimes that were killed. */
void flo_proxy_clear(void);

#endif
