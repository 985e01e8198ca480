/* An engine process and what an agent says to it and hears: for tests. */
#ifndef FLOTILLA_TESTS_WORKER_TALK_H
#define FLOTILLA_TESTS_WORKER_TALK_H

#include <string.h>
#include <sys/types.h>

#include <flotilla/engine_wire.h>

#define MODEL "tests/models/tiny-v2.Q4_0.gguf"
#define TEXT(t) ((struct flo_wire_text){t, strlen(t)})
#define SEVERITY "Classify: 23:45 oven-95 voltage drop temp=35C"

/* The engine process at hand and the agent's end of its socket. */
struct worker {
    pid_t pid;
    int fd;
    char data[1 << 21];
    size_t bytes, used;
    struct flo_wire_message got;
};
extern struct worker worker;

/* Path of a program of the build; valid until the next call. */
const char *bin(const char *name);
void worker_spawn(const char *path);
/* With a model, until it is READY. */
void worker_open(const char *model);
/* Close the socket and give the exit status. */
int worker_end(void);

/* A frame, with descriptors next to it. */
void say_with(const struct flo_wire_message *message, const int *fds, size_t count);
/* The same with one, or (-1) none. */
void say(const struct flo_wire_message *message, int fd);
void say_open(const char *path);

/* The next frame, in worker.got; false: the process closed its end. */
bool hear(void);
/* The next frame is one of this type. */
void expect(enum flo_wire_type type);
/* Frames until the end of `request`, which stays in worker.got. */
void expect_end(uint32_t request);
/* Text of one answer until DONE, which stays in worker.got. */
void answer(char *text, size_t size);

/* A request of one message. */
struct flo_wire_message ask(uint32_t request, const char *prompt);
/* A request, below 8, of so many tokens, with a prompt and a seed of its own;
 * every other one at a temperature. */
struct flo_wire_message ask_many(uint32_t request, uint32_t tokens,
                                 enum flo_wire_priority priority);

/* Answers of requests below 8, and the order in which they ended. */
struct heard {
    uint32_t ids[8][200];
    uint32_t made[8];
    struct flo_wire_done done[8];
    uint32_t order[8];
};
/* Until `count` of them are done. */
void hear_all(struct heard *heard, int count);

#endif
