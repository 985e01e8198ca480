/* Serving for tests, with engine processes and models: the loop runs in the
 * test's own thread, clients are threads with plain sockets. */
#ifndef FLOTILLA_TESTS_SERVE_WORLD_H
#define FLOTILLA_TESTS_SERVE_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "agent/serve/requests/requests.h"
#include "tests/unit/waits.h"

#define V2 "tests/models/tiny-v2.Q4_0.gguf"
#define V21 "tests/models/tiny-v2.1.Q4_0.gguf"
#define SLOW "tests/models/tiny-v4-slow.Q4_0.gguf"
#define CHAT                                                                                       \
    "{\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":"                             \
    "\"Classify: 23:45 oven-95 voltage drop temp=35C\"}]}"
#define CHAT_STREAM                                                                                \
    "{\"stream\":true,\"temperature\":0,\"messages\":[{\"role\":\"user\","                         \
    "\"content\":\"What should I do about smoke detected on camera-68?\"}]}"
/* Goes on for as long as it may. */
#define LONG_STREAM                                                                                \
    "{\"stream\":true,\"ignore_eos\":true,\"prompt\":\"a\","                                       \
    "\"max_tokens\":500}"

struct world {
    struct event_base *base;
    struct event *pulse;
    struct flo_serve *serve;
    char folder[64];
    char address[96];
    /* what the handlers saw */
    int loaded, failed, lost, drained, first_answers;
    int load_error, lost_error;
    enum flo_serve_role lost_role;
    char lost_what[512];
    int stats_errors, adapters_changed;
    int requests_of[FLO_SERVE_MODELS_MAX], wanted[FLO_SERVE_MODELS_MAX];
    int feedback_of[FLO_SERVE_MODELS_MAX][2];           /* bad, good */
    int swapped[FLO_SERVE_MODELS_MAX];                  /* candidates that were loaded */
    struct flo_digest release_of[FLO_SERVE_MODELS_MAX]; /* the last one's */
    uint64_t load_us, token_us;                         /* the last one's */
    struct flo_serve_request_stats told[32];            /* the first ones */
    size_t n_told;
    bool reloads;       /* a lost engine is loaded again */
    bool loads_wanted;  /* a wanted model is loaded, as "spare" */
    bool unloads;       /* the first error unloads the current one by force */
    bool loads_adapter; /* as soon as the next model is there */
    /* For models loaded from here on: */
    bool lacks_packed;
    uint64_t adapter_bytes;   /* room for more adapters */
    const char *adapter_path; /* of the adapter "site"; NULL: none */
};
extern struct world world;

#define WORLD_NO_HOLD UINT64_MAX /* a request waits for no engine */
/* With FLO_SERVE_APART in the environment serve has a thread of its own.
 * NULL: flotilla-engine; 0 ms: no hang is seen, a request is held as long. */
void world_open_with(const char *engine, uint64_t hang_ms, uint64_t hold_ms);
void world_open(void);
/* TCP takes this token alone. */
void world_open_bound(const struct flo_serve_token *token);
/* engine NULL: flotilla-engine. */
void world_open_guarded(const char *engine, const struct flo_serve_guard *guards, uint32_t n);
void world_close(void);

/* One turn of the loop. */
void world_turn(void);
#define RUN_UNTIL(is_true) WAIT_TURNING(is_true, world_turn())

struct flo_serve_status status_now(void);
/* The value of something in serve, between two of its steps. */
#define LOOK_INSIDE(expression)                                                                    \
    __extension__({                                                                                \
        FLO_INSIDE(world.serve);                                                                   \
        expression;                                                                                \
    })

/* Begin to load; a current model becomes live when it is. */
void load(enum flo_serve_role role, const char *path, const char *version);
/* The same for any model; release: all bytes are the version's first one. */
void load_as(unsigned index, const char *name, enum flo_serve_role role, const char *path,
             const char *version);
/* Load, until it is there. */
void open_current(const char *path, const char *version);
void open_candidate(const char *path, const char *version);
void flip(enum flo_serve_role role);

struct client {
    pthread_t thread;
    const char *path, *body;
    bool is_other;     /* than the other clients are */
    const char *token; /* over TCP; NULL: none */
    bool repeats;      /* until told to stop */
    atomic_bool stops, is_over;
    atomic_int good, bad, pieces;
    atomic_int of_v2, of_v21;
    int status;
    char text[65536]; /* the last answer */
};

/* Send a request (a GET if the body is empty) and give its descriptor; -1: it
 * did not go out. */
int say(const char *path, const char *body);
/* The same as another client. */
int say_as_other(const char *path, const char *body);
void client_start(struct client *client, const char *path, const char *body, bool repeats);
/* Run the loop until it has its answer. */
void client_end(struct client *client);
/* One question and its answer while the loop runs. */
void ask(struct client *client, const char *path, const char *body);

/* Four chats, asked again and again; all of their answers are good. */
enum { STREAMS = 4 };
void streams_start(struct client clients[STREAMS]);
void streams_end(struct client clients[STREAMS]);

#endif
