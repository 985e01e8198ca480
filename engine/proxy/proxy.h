/* A runtime that is not our engine, behind the agent's frames.
 *
 *   proxy.c     the loop, health           settings.c  what to start
 *   start.c     its names and namespaces   keeper.c    ends all processes
 *   memory.c    how large they are         confine.c   its cgroup, its user
 *   check.c     a program for each golden case, where there is no server
 *   requests.c  GENERATE and EMBED         body.c      as OpenAI's JSON
 *   answer.c    the contents of an answer
 *   calls.c     calls in it, held to what was offered
 *
 * answer.c, calls.c and settings.c only compute.  Everything that comes from
 * the runtime is bounded before it is kept. */
#ifndef FLOTILLA_ENGINE_PROXY_H
#define FLOTILLA_ENGINE_PROXY_H

#include <flotilla/engine_wire.h>

#include "base/cgroup.h"
#include "base/sandbox.h"
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
    FLO_RUNTIME_NONE, /* no server: `exec` is a check, run for each case */
};

/* Settings from the agent's JSON (contracts/processes.md 4.1); texts lie in
 * `tree`'s text. */
struct flo_runtime {
    struct flo_tree tree;
    char *text;
    const char *name, *health, *model;
    const char *prefix; /* before the paths of OpenAI's API: /v1 */
    const char *exec[FLO_RUNTIME_ARGS_MAX + 1];
    enum flo_runtime_api api;
    uint64_t ready_ms, stop_ms, memory_bytes;
    uint32_t sessions, context, threads;
    uint64_t abilities;
    bool has_network; /* the host's */
    bool has_user;    /* a user of its own */
    uint32_t uid, gid;
    const char *read[FLO_RUNTIME_PATHS_MAX + 1];
    const char *devices[FLO_RUNTIME_PATHS_MAX + 1];
    const char *env[FLO_RUNTIME_ENV_MAX][2];
    uint32_t n_env;
};
/* FLO_E_RUNTIME_START names the field. */
FLO_MUST_USE int flo_runtime_read(struct flo_runtime *runtime, struct flo_wire_text json,
                                  struct flo_err *err);
void flo_runtime_deinit(struct flo_runtime *runtime);

/* ---- answer.c: what stands in a body ---- */

#define FLO_ANSWER_BYTES_MAX (16u << 20) /* an answer of vectors */

/* One event of a stream, or a whole answer. */
struct flo_answer_part {
    struct flo_wire_text text; /* answer's text; UTF-8, here and below */
    struct flo_wire_text thought;
    const struct flo_tree_node *calls; /* for flo_answer_call(); NULL: none */
    bool has_finish;
    uint32_t reason; /* enum flo_wire_reason */
    bool has_usage;
    uint32_t tokens_in, tokens_out;
};
/* More of a call: its name where it begins, or none. */
struct flo_answer_call {
    uint32_t index; /* UINT32_MAX: the server does not say */
    struct flo_wire_text name, arguments;
};
/* Read a part; its texts lie in `data`.  FLO_E_RUNTIME_ANSWER. */
FLO_MUST_USE int flo_answer_read(char *data, size_t bytes, struct flo_tree *tree,
                                 struct flo_answer_part *part, struct flo_err *err);
/* The entry of a part's calls, which moves on.  FLO_E_RUNTIME_ANSWER. */
FLO_MUST_USE int flo_answer_call(const struct flo_tree_node **entry, struct flo_answer_call *call,
                                 struct flo_err *err);
/* Vectors of `count` inputs; `take` gets each in its order, made one of length
 * 1.  FLO_E_RUNTIME_ANSWER. */
FLO_MUST_USE int flo_answer_vectors(char *data, size_t bytes, uint32_t count,
                                    void (*take)(void *context, uint32_t index, const float *vector,
                                                 uint32_t length),
                                    void *context, uint32_t *tokens_in, struct flo_err *err);

/* ---- calls.c ---- */

/* Calls of one answer.  Zero-initialise. */
struct flo_proxy_calls {
    struct flo_buf callable; /* names between line ends */
    bool one_call;
    uint32_t count;           /* that have begun */
    bool is_open;             /* the last one */
    char name[80];            /* the last call's, for people */
    struct flo_buf arguments; /* the last call's, until now */
};
/* The calls that a request allows.  FLO_E_INFER_PARAM: its tools are no JSON;
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_calls_expect(struct flo_proxy_calls *calls, const struct flo_wire_generate *in,
                                  struct flo_err *err);
/* More of a call, as parts for the agent.  FLO_E_RUNTIME_ANSWER names the
 * runtime: a call out of its order, of no tool that was offered, a second one
 * where one is allowed, or one that ended without a JSON object. */
FLO_MUST_USE int flo_calls_take(struct flo_proxy_calls *calls, const char *runtime,
                                const struct flo_answer_call *call, struct flo_buf *out,
                                struct flo_err *err);
/* The last call has all its arguments; none are `{}`.  The same error. */
FLO_MUST_USE int flo_calls_end(struct flo_proxy_calls *calls, const char *runtime,
                               struct flo_buf *out, struct flo_err *err);
void flo_calls_deinit(struct flo_proxy_calls *calls);

/* ---- body.c ---- */

/* The whole HTTP request of a GENERATE or EMBED. */
void flo_body_write(const struct flo_runtime *runtime, const struct flo_wire_message *message,
                    struct flo_buf *out);
/* The same of a health check. */
void flo_body_health(const struct flo_runtime *runtime, struct flo_buf *out);

/* ---- keeper.c ---- */

/* Never returns: starts the runtime, waits for its end, ends all processes
 * below it, removes the scratch folder.  Ends with the runtime's status, or
 * 128 and its signal.  It ends the runtime when the proxy is gone or at
 * SIGTERM, after stop_ms with SIGKILL. */
struct flo_keeping {
    const char *const *argv;
    char *const *environment;
    const char *scratch;
    const struct flo_sandbox_path *paths;
    size_t n_paths;
    uint64_t stop_ms;
    bool needs_files;        /* no landlock is an error */
    bool connects;           /* TCP */
    int output;              /* the runtime's stdout; -1: nowhere */
    int report;              /* a sentence is written here when it does not start */
    int errors;              /* the runtime's stderr */
    int group;               /* the door of its cgroup; -1: none */
    uint64_t data_bytes_max; /* where it has none */
    bool has_user;
    uint32_t uid, gid;
    pid_t proxy;
};
/* A /proc of the process namespace, for its first process: false where hidden
 * folders of /proc forbid it.  Without one a process reads another's number in
 * /proc/self, and a GPU's driver refuses it. */
bool flo_keeper_show_processes(void);
/* The scratch folder may have a neighbour SCRATCH.tree, a mount. */
_Noreturn void flo_keeper_run(const struct flo_keeping *keeping);
/* Remove a folder and all in it. */
void flo_scratch_remove(const char *path);

/* ---- start.c ---- */

struct flo_runtime_process {
    pid_t pid; /* the keeper's */
    char scratch[64];
    char socket[108]; /* empty: the port */
    uint16_t port;
    char file[256];     /* in the tree: what a check plays */
    int output;         /* 0: none; a check's stdout, closed at the start */
    int report, errors; /* pipes; -1: closed */
    char words[512];    /* the last ones of its stderr */
    size_t n_words;
    bool is_sandboxed;
    struct flo_cgroup group; /* folder empty: none */
};
/* Start it on the tree behind this descriptor.  FLO_E_RUNTIME_START. */
FLO_MUST_USE int flo_runtime_start(const struct flo_runtime *runtime, int tree,
                                   struct flo_wire_text entry, enum flo_sandbox_mode mode,
                                   struct flo_runtime_process *process, struct flo_err *err);
/* Take what its pipes have.  FLO_E_RUNTIME_START: it did not start. */
FLO_MUST_USE int flo_runtime_listen(struct flo_runtime_process *process, struct flo_err *err);
/* End it and wait for the end. */
void flo_runtime_stop(struct flo_runtime_process *process, uint64_t stop_ms);
/* Memory of all its processes (Pss, or resident where that cannot be read) and
 * how many they are. */
void flo_runtime_memory(pid_t keeper, uint64_t *bytes, uint32_t *count);

/* ---- confine.c ---- */

/* Give it a cgroup with its limit; without one a warning says so. */
void flo_runtime_group(const struct flo_runtime *runtime, struct flo_runtime_process *process);
/* The limit of its cgroup: a tenth more than is planned. */
uint64_t flo_runtime_limit(const struct flo_runtime *runtime);
/* Let its user read the tree, at a path of its own that `path` becomes, and
 * have the scratch folder.  Needs root.  FLO_E_RUNTIME_START. */
FLO_MUST_USE int flo_runtime_own_user(const struct flo_runtime *runtime, int tree,
                                      struct flo_runtime_process *process, char *path,
                                      size_t path_bytes, struct flo_err *err);

/* ---- check.c: a runtime without a server ---- */

struct flo_proxy;
#define FLO_CHECK_BYTES_MAX 65536 /* that a check may write */

/* One run of the check, in a process between the proxy and the keeper: its
 * namespaces are its own.  Zero-initialise. */
struct flo_check {
    pid_t pid; /* 0: none runs */
    uint32_t id;
    int output, report;
    uint64_t began_us;
    struct flo_buf text, said;
};
/* Play the file of a GENERATE; the answer is its stdout and status. */
void flo_check_take(struct flo_proxy *proxy, const struct flo_wire_message *message);
/* Take what it wrote, and answer when it has ended. */
void flo_check_go_on(struct flo_proxy *proxy);
void flo_check_cancel(struct flo_proxy *proxy, uint32_t id);
void flo_check_end(struct flo_check *check);

/* ---- requests.c ---- */

struct flo_proxy_request;
void flo_proxy_take(struct flo_proxy *proxy, const struct flo_wire_message *message);
void flo_proxy_cancel(struct flo_proxy *proxy, uint32_t id);
/* Begin what has a place. */
void flo_proxy_begin(struct flo_proxy *proxy);
/* poll() said something about this one. */
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
    struct flo_buf body;  /* an answer that is no stream */
    struct flo_buf held;  /* text beyond the last piece that may be sent */
    struct flo_tree tree; /* a parsed event */
    uint32_t pieces, frames, frames_max, pieces_max;
    bool tells_parts; /* the agent takes thoughts and calls */
    struct flo_proxy_calls calls;
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
    int tree; /* OPEN's folder; -1: none */
    struct flo_runtime runtime;
    struct flo_runtime_process process;
    uint64_t started_ms;
    /* health */
    struct flo_exchange health;
    uint64_t asked_ms, good_ms, next_ms;
    uint32_t misses;
    uint32_t ping; /* PINGs that wait for it */
    struct flo_check check;
    /* memory */
    uint64_t looked_ms, rss_bytes, rss_bytes_peak;
    uint32_t over;
    /* requests, in the order in which they came */
    struct flo_proxy_request *requests;
    uint32_t n_running;
    size_t waiting_bytes;
    uint64_t n_requests, tokens_in, tokens_out;
};

/* frames.c */
extern const struct flo_peer flo_proxy_peer; /* "the runtime" */
void flo_proxy_put(struct flo_proxy *proxy, const struct flo_wire_message *message);
void flo_proxy_fail(struct flo_proxy *proxy, uint32_t id, const struct flo_err *err);

/* flotilla-engine proxy [required|preferred]: serve descriptor 3. */
int flo_cmd_proxy(void *line, struct flo_err *err);

#endif
