/* Follow: keeps a list on the screen, and redraws it at each event about the
 * list's objects. */
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/cli.h>
#include <flotilla/errors/net.h>

#include "server-stub/cli/live/live.h"
#include "server-stub/cli/view/frames.h"

/* interval of redrawing until the first event has told the position in the
 * event stream */
#define FIRST_MS 2000
/* interval of redrawing, because times pass and some changes have no event */
#define LATER_MS 15000
#define PACE_MS 500

struct follow {
    const char *topic;
    struct flo_frames frames;
    uint64_t until_ms;
    bool is_there;
};

static void on_event(void *context, const char *event)
{
    struct follow *follow = context;

    if (strcmp(event, follow->topic) == 0 || strcmp(event, "resync") == 0) {
        follow->is_there = true;
    }
}

static int on_data(void *context, const void *data, size_t bytes)
{
    struct follow *follow = context;

    flo_frames_feed(&follow->frames, data, bytes, on_event, follow);
    return follow->is_there ? FLO_E_STOPPED : 0;
}

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    const struct follow *follow = context;

    (void)done, (void)total;
    return flo_stop_asked() || flo_now_ms() >= follow->until_ms ? FLO_E_STOPPED : 0;
}

/* Waits for an event of the topic, a timeout, or Ctrl-C.  The next wait
 * continues after the last event. */
static int wait_event(struct flo_cli *cli, struct follow *follow, struct flo_err *err)
{
    struct flo_err gone = {0};
    bool is_known = follow->frames.id[0] != '\0';

    follow->is_there = false;
    follow->until_ms = flo_now_ms() + (is_known ? LATER_MS : FIRST_MS);
    follow->frames.used = 0;
    int rv = flo_api_stream(cli, "/v1/events", is_known ? follow->frames.id : NULL, on_data,
                            on_progress, follow, &gone);
    if (rv == FLO_E_STOPPED || rv == 0) {
        return 0;
    }
    if (rv == FLO_E_NET_UNREACHABLE || rv == FLO_E_NET_TIMEOUT || rv == FLO_E_NET_STALLED) {
        flo_out_say(cli, "the controller cannot be reached; trying again");
        /* The command continues, because the controller may return soon.  If
         * not, getting the list fails. */
        return 0;
    }
    *err = gone;
    return rv;
}

int flo_follow(struct flo_cli *cli, const char *topic,
               int (*show)(struct flo_cli *cli, struct flo_err *err), struct flo_err *err)
{
    struct follow follow = {.topic = topic};
    int rv = 0;

    if (!flo_args_has(&cli->args, "watch")) {
        return show(cli, err);
    }
    flo_stop_catch();
    do {
        if (cli->is_tty) {
            printf("\033[H\033[J");
        }
        rv = show(cli, err);
        fflush(stdout);
        if (rv == 0) {
            rv = wait_event(cli, &follow, err);
        }
    } while (rv == 0 && flo_stop_pause(PACE_MS));
    return rv;
}
