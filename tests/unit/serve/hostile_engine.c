/* An engine process that misbehaves once its model is loaded: what the
 * sandbox and the agent must bear.  FLO_HOSTILE names the deed. */
#include "engine/run/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "tests/unit/waits.h"

static const char *deed;

static void send_frame(int fd, const struct flo_wire_message *message)
{
    struct flo_buf out = {0};
    if (flo_wire_write(&out, message, NULL) == 0) {
        for (size_t at = 0; at < out.bytes;) {
            ssize_t n = send(fd, out.data + at, out.bytes - at, MSG_NOSIGNAL);
            if (n <= 0) {
                _exit(0);
            }
            at += (size_t)n;
        }
    }
    flo_buf_deinit(&out);
}

/* An answer whose tokens come in one heap. */
struct heap {
    uint32_t tokens;
    uint32_t bytes; /* of each */
    uint64_t answer_us;
};
#define HEAP_BYTES_MAX 1000000

static void answer_heap(int fd, const struct flo_wire_message *got, const struct heap *heap)
{
    static char text[HEAP_BYTES_MAX];

    struct flo_wire_message answer = {.type = FLO_WIRE_PONG};

    if (got->type == FLO_WIRE_GENERATE) {
        answer.type = FLO_WIRE_TOKEN;
        answer.request = got->request;
        memset(text, 'a', sizeof(text));
        answer.token.text = (struct flo_wire_text){text, heap->bytes};
        answer.token.is_finite = true;
        for (; answer.token.index < heap->tokens; answer.token.index++) {
            send_frame(fd, &answer);
        }
        answer = (struct flo_wire_message){.type = FLO_WIRE_DONE, .request = got->request};
        answer.done.tokens_in = answer.done.tokens_out = heap->tokens;
        answer.done.answer_us = heap->answer_us;
    }
    if (got->type == FLO_WIRE_GENERATE || got->type == FLO_WIRE_PING) {
        send_frame(fd, &answer);
    }
}

/* A thought, a text, and a call of the tool that the request chooses.  The text
 * is the list of tools as it came.  Without a choice its arguments have no
 * call. */
static void answer_with_call(int fd, const struct flo_wire_message *got)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_TOKEN, .request = got->request};
    const struct flo_wire_generate *in = &got->generate;
    const struct flo_wire_part parts[] = {
        {FLO_WIRE_PART_THOUGHT, {"hm", 2}},
        {FLO_WIRE_PART_CALL, in->tool_name},
        {FLO_WIRE_PART_ARGUMENTS, {"{}", 2}},
    };
    struct flo_buf list = {0};

    if (!in->tells_parts) {
        _exit(1);
    }
    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        if (parts[i].text.bytes > 0) {
            flo_wire_part_add(&list, &parts[i]);
        }
    }
    answer.token.text = in->tools;
    answer.token.parts = (struct flo_wire_text){list.data, list.bytes};
    answer.token.is_finite = true;
    send_frame(fd, &answer);
    answer = (struct flo_wire_message){.type = FLO_WIRE_DONE, .request = got->request};
    answer.done.tokens_in = answer.done.tokens_out = 1;
    send_frame(fd, &answer);
    flo_buf_deinit(&list);
}

/* heap NULL: with calls, by an engine that has all abilities; else it has none
 * of tools and thoughts. */
static void answer_in_heaps(int fd, const struct heap *heap)
{
    static struct flo_wire_message got;
    struct flo_buf in = {0};
    char piece[4096];
    ssize_t n;
    send_frame(fd, &(struct flo_wire_message){
                       .type = FLO_WIRE_READY,
                       .ready.context = 512,
                       .ready.abilities = heap == NULL ? FLO_ABILITIES_ALL
                                                       : FLO_ABILITIES_OURS & ~FLO_ABILITY_TOOLS &
                                                             ~FLO_ABILITY_THINKING});
    while ((n = recv(fd, piece, sizeof(piece), 0)) > 0) {
        ptrdiff_t used;
        flo_buf_add(&in, piece, (size_t)n);
        /* Several come at once where the machine is busy. */
        while ((used = flo_wire_read(in.data, in.bytes, &got, NULL)) > 0) {
            if (heap == NULL && got.type == FLO_WIRE_GENERATE) {
                answer_with_call(fd, &got);
            } else {
                answer_heap(fd, &got, heap);
            }
            in.bytes -= (size_t)used;
            memmove(in.data, in.data + used, in.bytes);
        }
    }
    _exit(0);
}

/* READY, and in the same breath an answer to the first call, which cannot
 * have been sent. */
static void answer_early(int fd)
{
    struct flo_wire_message ready = {.type = FLO_WIRE_READY, .ready.context = 512};
    struct flo_wire_message answer = {.type = FLO_WIRE_ADAPTER, .request = 1};
    struct flo_buf out = {0};
    char ignored[4096];
    if (flo_wire_write(&out, &ready, NULL) == 0 && flo_wire_write(&out, &answer, NULL) == 0) {
        send(fd, out.data, out.bytes, 0);
    }
    while (recv(fd, ignored, sizeof(ignored), 0) > 0) {
    }
    _exit(0);
}

/* As if it had been given packed weights of another layout. */
static void refuse_packed(int fd)
{
    const char *id = flo_error_id(FLO_E_PACKED);
    send_frame(fd,
               &(struct flo_wire_message){.type = FLO_WIRE_FAILED, .failed.id = {id, strlen(id)}});
}

static void misbehave(int fd)
{
    static char garbage[64] = "this is no frame at all, whatever you think";
    if (strcmp(deed, "socket") == 0) {
        socket(AF_INET, SOCK_STREAM, 0);
    } else if (strcmp(deed, "open") == 0) {
        open("/etc/passwd", O_RDONLY);
    } else if (strcmp(deed, "exec") == 0) {
        execl("/bin/true", "true", (char *)NULL);
    } else if (strcmp(deed, "fork") == 0) {
        syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    } else if (strcmp(deed, "code") == 0) {
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else if (strcmp(deed, "kill") == 0) {
        kill(getppid(), SIGTERM);
    } else if (strcmp(deed, "garbage") == 0) {
        send(fd, garbage, sizeof(garbage), 0);
    } else if (strcmp(deed, "oversize") == 0) {
        uint8_t head[FLO_WIRE_HEAD_BYTES] = "FLW1";
        flo_put_u32(head + 4, FLO_WIRE_PAYLOAD_BYTES_MAX + 1);
        flo_put_u16(head + 8, FLO_WIRE_TOKEN);
        send(fd, head, sizeof(head), 0);
    } else if (strcmp(deed, "stranger") == 0) {
        struct flo_wire_message message = {.type = FLO_WIRE_TOKEN, .request = 4711};
        struct flo_buf out = {0};
        if (flo_wire_write(&out, &message, NULL) == 0) {
            send(fd, out.data, out.bytes, 0);
        }
    } else if (strcmp(deed, "flood") == 0) {
        answer_in_heaps(fd, &(struct heap){20, HEAP_BYTES_MAX, 0});
    } else if (strcmp(deed, "heap") == 0) {
        answer_in_heaps(fd, &(struct heap){4, 1, 3000});
    } else if (strcmp(deed, "calls") == 0) {
        answer_in_heaps(fd, NULL);
    } else if (strcmp(deed, "early") == 0) {
        answer_early(fd);
    } else if (strcmp(deed, "packed") == 0) {
        refuse_packed(fd);
    } else if (strcmp(deed, "crash") == 0) {
        abort();
    } else if (strcmp(deed, "shut") == 0) {
        close(fd);
        waits_hang();
    } else if (strcmp(deed, "hang") == 0) {
        waits_hang();
    }
}

int main(void)
{
    deed = getenv("FLO_HOSTILE");
    if (deed == NULL) {
        deed = "";
    }
    if (strcmp(deed, "die") == 0) {
        raise(SIGKILL);
    }
    return flo_worker_serve(3, FLO_SANDBOX_PREFERRED, NULL, misbehave);
}
