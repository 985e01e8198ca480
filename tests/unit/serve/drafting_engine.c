/* An engine process that plays one with a draft: it tells which descriptors
 * came with OPEN, and answers as if some guesses were right.  Never shipped.
 * With FLO_DRAFTING=old it knows no drafts. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/engine_wire.h>

#define TOKENS 6
#define DRAFT_BYTES 4096 /* the memory that it says the draft has */

static int fds[FLO_WIRE_FDS_MAX];
static size_t n_fds;

static void send_frame(const struct flo_wire_message *message)
{
    struct flo_buf out = {0};

    if (flo_wire_write(&out, message, NULL) < 0 ||
        send(3, out.data, out.bytes, MSG_NOSIGNAL) != (ssize_t)out.bytes) {
        _exit(1);
    }
    flo_buf_deinit(&out);
}

/* The first byte of each descriptor's file, in their order. */
static struct flo_wire_text first_bytes(char out[FLO_WIRE_FDS_MAX])
{
    for (size_t i = 0; i < n_fds; i++) {
        if (pread(fds[i], &out[i], 1, 0) != 1) {
            _exit(1);
        }
    }
    return (struct flo_wire_text){out, n_fds};
}

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

static void answer_open(const struct flo_wire_open *open)
{
    char bytes[FLO_WIRE_FDS_MAX];
    struct flo_wire_message answer = {.type = FLO_WIRE_READY, .ready.context = 512};
    const char *how = getenv("FLO_DRAFTING");
    size_t at = n_fds - 1 - (open->keeps_prefix ? 1 : 0);

    answer.ready.kernel = first_bytes(bytes);
    if (open->has_draft && (how == NULL || strcmp(how, "old") != 0)) {
        bool is_draft = bytes[at] == 'F';
        answer.ready.draft = text_of(is_draft ? "table" : "");
        answer.ready.draft_bytes = is_draft ? DRAFT_BYTES : 0;
        answer.ready.draft_why = text_of(is_draft ? "" : "it is no \"draft\"");
    }
    send_frame(&answer);
}

static void answer_generate(uint32_t request)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_TOKEN, .request = request};

    answer.token.text = text_of("a");
    answer.token.is_finite = true;
    for (; answer.token.index < TOKENS; answer.token.index++) {
        send_frame(&answer);
    }
    answer = (struct flo_wire_message){.type = FLO_WIRE_DONE, .request = request};
    answer.done.tokens_in = 1;
    answer.done.tokens_out = TOKENS;
    answer.done.guessed = 5;
    answer.done.guessed_right = TOKENS / 2;
    send_frame(&answer);
}

/* The memory is 1000 bytes, and one more for each descriptor. */
static void answer_plan(void)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_PLANNED, .planned.private_bytes = 1000};

    answer.planned.private_bytes += n_fds;
    send_frame(&answer);
    while (n_fds > 0) {
        close(fds[--n_fds]);
    }
}

/* No packed weights, as of a plain machine. */
static void answer_pack(void)
{
    send_frame(&(struct flo_wire_message){.type = FLO_WIRE_FAILED,
                                          .failed.id = text_of(flo_error_id(FLO_E_NOT_BUILT))});
}

static void answer(const struct flo_wire_message *got)
{
    if (got->type == FLO_WIRE_OPEN) {
        answer_open(&got->open);
    } else if (got->type == FLO_WIRE_PLAN) {
        answer_plan();
    } else if (got->type == FLO_WIRE_GENERATE) {
        answer_generate(got->request);
    } else if (got->type == FLO_WIRE_PACK) {
        answer_pack();
    } else if (got->type == FLO_WIRE_PING) {
        send_frame(&(struct flo_wire_message){.type = FLO_WIRE_PONG});
    }
}

int main(void)
{
    static struct flo_wire_message got;
    struct pollfd socket = {.fd = 3, .events = POLLIN};
    struct flo_buf in = {0};

    while (poll(&socket, 1, -1) >= 0 &&
           flo_wire_receive(3, &in, fds, FLO_WIRE_FDS_MAX, &n_fds) >= 0) {
        ptrdiff_t used;
        while ((used = flo_wire_read(in.data, in.bytes, &got, NULL)) > 0) {
            answer(&got);
            in.bytes -= (size_t)used;
            memmove(in.data, in.data + used, in.bytes);
        }
    }
    flo_buf_deinit(&in);
    return 0;
}
