/* Activation: see linking.h. */
#include "agent/core/linking.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

static enum flo_linking_do look(struct flo_linking *activation)
{
    assert(!activation->is_looking);
    activation->is_looking = true;
    activation->due_ms = 0;
    return FLO_LINKING_LOOK;
}

static enum flo_linking_do hooked(struct flo_linking *activation, uint64_t now_ms)
{
    assert(activation->state == FLO_LINKING_HOOK || activation->failures == 0);
    activation->failures = 0;
    activation->misses = 0;
    if (!activation->limits.has_health) {
        activation->state = FLO_LINKING_SERVES;
        activation->due_ms = 0;
        return FLO_LINKING_TELL_SERVES;
    }
    activation->state = FLO_LINKING_STARTS;
    activation->ready_by_ms = now_ms + activation->limits.ready_ms;
    return look(activation);
}

static enum flo_linking_do run(struct flo_linking *activation)
{
    activation->state = FLO_LINKING_HOOK;
    activation->due_ms = 0;
    return FLO_LINKING_RUN;
}

enum flo_linking_do flo_linking_begin(struct flo_linking *activation,
                                      const struct flo_linking_limits *limits, bool needs_hook,
                                      uint64_t now_ms)
{
    assert(!limits->has_health || limits->every_ms > 0);
    assert(!limits->has_health || limits->misses_max > 0);
    *activation = (struct flo_linking){.limits = *limits};
    return needs_hook ? run(activation) : hooked(activation, now_ms);
}

static uint64_t again_ms(uint32_t failures)
{
    assert(failures > 0);
    return flo_backoff_ms(FLO_HOOK_AGAIN_MS_MIN, failures, FLO_HOOK_AGAIN_MS_MAX);
}

static enum flo_linking_do hook_failed(struct flo_linking *activation, uint64_t now_ms)
{
    assert(activation->state == FLO_LINKING_HOOK);
    activation->state = FLO_LINKING_FAILED;
    activation->failures++;
    activation->due_ms = now_ms + again_ms(activation->failures);
    return FLO_LINKING_TELL_FAILED;
}

static enum flo_linking_do looked(struct flo_linking *activation, bool is_good, uint64_t now_ms)
{
    enum flo_linking_state before = activation->state;

    assert(activation->is_looking);
    activation->is_looking = false;
    activation->due_ms = now_ms + activation->limits.every_ms;
    if (is_good) {
        activation->misses = 0;
        activation->state = FLO_LINKING_SERVES;
        return before == FLO_LINKING_SERVES ? FLO_LINKING_NOTHING : FLO_LINKING_TELL_SERVES;
    }
    if (before == FLO_LINKING_STARTS && now_ms < activation->ready_by_ms) {
        activation->due_ms = now_ms + FLO_HEALTH_STARTING_MS;
        return FLO_LINKING_NOTHING;
    }
    if (before == FLO_LINKING_SERVES && ++activation->misses < activation->limits.misses_max) {
        return FLO_LINKING_NOTHING;
    }
    activation->state = FLO_LINKING_ILL;
    return before == FLO_LINKING_ILL ? FLO_LINKING_NOTHING : FLO_LINKING_TELL_ILL;
}

enum flo_linking_do flo_linking_step(struct flo_linking *activation, enum flo_linking_event event,
                                     uint64_t now_ms)
{
    switch (event) {
    case FLO_LINKING_DUE:
        if (activation->due_ms == 0 || now_ms < activation->due_ms) {
            return FLO_LINKING_NOTHING;
        }
        return activation->state == FLO_LINKING_FAILED ? run(activation) : look(activation);
    case FLO_LINKING_HOOK_DONE:
    case FLO_LINKING_HOOK_FAILED:
        if (activation->state != FLO_LINKING_HOOK) {
            return FLO_LINKING_NOTHING;
        }
        return event == FLO_LINKING_HOOK_DONE ? hooked(activation, now_ms)
                                              : hook_failed(activation, now_ms);
    case FLO_LINKING_GOOD:
    case FLO_LINKING_BAD:
        if (!activation->is_looking) {
            return FLO_LINKING_NOTHING;
        }
        return looked(activation, event == FLO_LINKING_GOOD, now_ms);
    }
    return FLO_LINKING_NOTHING;
}

/* ---- what others say ---- */

static int digits_at(const char *text, size_t bytes, size_t at, size_t *end)
{
    long value = 0;
    size_t i = at;

    while (i < bytes && text[i] >= '0' && text[i] <= '9' && i - at < 9) {
        value = value * 10 + (text[i++] - '0');
    }
    *end = i;
    return i == at || value > INT_MAX ? -1 : (int)value;
}

int flo_http_status_read(const char *text, size_t bytes)
{
    static const char head[] = "HTTP/1.";
    size_t end = 0;
    int status;

    if (bytes < 12 || memcmp(text, head, sizeof(head) - 1) != 0 ||
        (text[7] != '0' && text[7] != '1') || text[8] != ' ') {
        return 0;
    }
    status = digits_at(text, bytes, 9, &end);
    return end == 12 && status >= 100 && status < 600 ? status : 0;
}

int flo_pid_read(const char *text, size_t bytes)
{
    size_t end = 0;
    int pid;

    while (bytes > 0 && memchr(" \t\r\n", text[bytes - 1], 4) != NULL) {
        bytes--;
    }
    pid = digits_at(text, bytes, 0, &end);
    return end == bytes && pid > 1 ? pid : 0;
}
