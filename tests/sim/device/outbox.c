/* Outbox of a device: events until they are acknowledged, the last state of
 * each execution, answers to orders; as agent/shell/outbox keeps them.
 *
 * An event and its story are one synced write.  Answers are not synced. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/outbox.h>

#include "tests/sim/sim.h"

#define FLUSH_MS 50
#define ANSWERS_MAX 64

static void *grow(void *items, size_t count, size_t *room, size_t bytes)
{
    if (count < *room) {
        return items;
    }
    *room = 2 * *room + 8;
    items = realloc(items, *room * bytes);
    if (items == NULL) {
        abort();
    }
    return items;
}

/* ---- stories ---- */

static struct sim_story *story_find(struct sim_stories *stories, const char *id)
{
    for (size_t i = 0; i < stories->count; i++) {
        if (strcmp(stories->items[i].execution.id, id) == 0) {
            return &stories->items[i];
        }
    }
    return NULL;
}

static void story_put(struct sim_stories *stories, const struct sim_story *story)
{
    struct sim_story *place = story_find(stories, story->execution.id);

    if (place == NULL) {
        stories->items =
            grow(stories->items, stories->count, &stories->room, sizeof(*stories->items));
        place = &stories->items[stories->count++];
    }
    *place = *story;
}

/* In memory at first; they outlive the events that told them there. */
static void story_remember(struct sim_device *device, const struct flo_agent_execution *execution)
{
    const struct sim_story *before = story_find(&device->stories, execution->id);
    struct sim_story story = {0};

    if (before == NULL) {
        before = story_find(&device->disk.stories, execution->id);
    }
    story.ends = before == NULL ? 0 : before->ends;
    story.has_ended = flo_execution_is_end(execution->state);
    if (story.has_ended) {
        story.ends++;
        sim->updates++;
    }
    story.execution = *execution;
    if (execution->start_at_ms != 0) { /* by the wall clock, while it is off */
        story.execution.start_at_ms += sim_device_wall_ms(device) - sim_device_now_ms(device);
    }
    story_put(&device->stories, &story);
    sim_check_end(device, &story);
}

static struct sim_story *last_of(struct sim_stories *stories, const char *rollout)
{
    struct sim_story *last = NULL;

    for (size_t i = 0; i < stories->count; i++) {
        struct sim_story *story = &stories->items[i];
        if (strcmp(story->execution.rollout, rollout) == 0 &&
            (last == NULL || story->execution.attempt > last->execution.attempt)) {
            last = story;
        }
    }
    return last;
}

struct sim_story *sim_story_last(struct sim_device *device, const char *rollout)
{
    struct sim_story *last = last_of(&device->stories, rollout);

    return last != NULL ? last : last_of(&device->disk.stories, rollout);
}

const struct sim_story *sim_story_open(const struct sim_device *device, const char *model)
{
    for (size_t i = device->disk.stories.count; i-- > 0;) {
        const struct sim_story *story = &device->disk.stories.items[i];
        if (!story->has_ended && strcmp(story->execution.release.model, model) == 0) {
            return story;
        }
    }
    return NULL;
}

/* ---- events ---- */

static void event_free(struct sim_event *event)
{
    free(event->text);
}

static void events_drop(struct sim_event *events, size_t *count, uint64_t up_to)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        if (events[i].sequence <= up_to) {
            event_free(&events[i]);
        } else {
            events[kept++] = events[i];
        }
    }
    *count = kept;
}

static bool has_stored(struct sim_device *device)
{
    struct sim_disk *disk = &device->disk;

    if (device->disk_is_full) {
        return false;
    }
    memcpy(disk->boot, device->boot, sizeof(disk->boot));
    device->boot_is_stored = true;
    for (size_t i = 0; i < device->memory_count; i++) {
        disk->events =
            grow(disk->events, disk->event_count, &disk->event_room, sizeof(*disk->events));
        disk->events[disk->event_count++] = device->memory[i];
    }
    for (size_t i = 0; i < device->stories.count; i++) {
        story_put(&disk->stories, &device->stories.items[i]);
    }
    device->stories.count = 0;
    for (size_t i = 0; i < disk->answer_count; i++) {
        disk->answers[i].is_synced = true; /* the same log */
    }
    device->memory_count = 0;
    return true;
}

/* A fresh boot for numbers that the file may give a second time. */
static void leave_boot(struct sim_device *device)
{
    char before[sizeof(device->boot)];

    memcpy(before, device->boot, sizeof(before));
    flo_uuid_make(device->boot);
    device->boot_is_stored = false;
    for (size_t i = 0; i < device->memory_count; i++) {
        char *at = strstr(device->memory[i].text, "\"boot\":\"");
        memcpy(at + strlen("\"boot\":\""), device->boot, 36);
    }
}

void sim_outbox_flush(struct sim_device *device)
{
    if (device->memory_count == 0) {
        return;
    }
    uint64_t last = device->memory[device->memory_count - 1].sequence;
    bool is_stored = has_stored(device);

    flo_outbox_stored(&device->outbox, last);
    if (!is_stored && device->boot_is_stored) {
        leave_boot(device);
    }
}

static void on_flush(const struct sim_call *call)
{
    call->device->flush_is_due = false;
    sim_outbox_flush(call->device);
    sim_outbox_send(call->device);
}

static bool is_urgent(const struct flo_agent_execution *execution)
{
    return execution != NULL &&
           (flo_execution_is_end(execution->state) || execution->state == FLO_EXECUTION_PROBING);
}

void sim_outbox_add(struct sim_device *device, struct flo_buf *fields,
                    const struct flo_agent_execution *execution)
{
    struct sim_event *event;

    device->memory =
        grow(device->memory, device->memory_count, &device->memory_room, sizeof(*device->memory));
    event = &device->memory[device->memory_count++];
    memset(event, 0, sizeof(*event));
    event->sequence = ++device->sequence;
    flo_buf_printf(fields, ",\"v\":1,\"boot\":\"%s\",\"seq\":%llu,\"at_ms\":%llu}", device->boot,
                   (unsigned long long)event->sequence,
                   (unsigned long long)sim_device_wall_ms(device));
    event->text = fields->data;
    *fields = (struct flo_buf){0};
    if (execution != NULL) {
        story_remember(device, execution);
    }
    if (is_urgent(execution)) {
        sim_outbox_flush(device);
    } else if (!device->flush_is_due) {
        device->flush_is_due = true;
        sim_later(FLUSH_MS, (struct sim_call){.fn = on_flush, .device = device});
    }
}

static const char *text_of(const struct sim_event *events, size_t count, uint64_t sequence)
{
    for (size_t i = 0; i < count; i++) {
        if (events[i].sequence == sequence) {
            return events[i].text;
        }
    }
    return NULL;
}

/* An event that came from memory while the disk was full, and that was
 * acknowledged; the file knows neither. */
static bool send_gap(struct sim_device *device, uint64_t sequence)
{
    char text[256];

    snprintf(text, sizeof(text),
             "{\"from\":%llu,\"v\":1,\"boot\":\"%s\",\"seq\":%llu,"
             "\"type\":\"note\",\"error\":{\"id\":\"%s\",\"what\":\"it is "
             "gone\"}}",
             (unsigned long long)device->outbox.acked + 1, device->boot,
             (unsigned long long)sequence, flo_error_id(FLO_E_OUTBOX_CORRUPT));
    return sim_publish(device, FLO_TOPIC_EVENT, text, strlen(text));
}

static bool send_event(struct sim_device *device, const char *stored)
{
    static const char key[] = "\"boot\":\"";
    struct flo_buf text = {0};

    flo_buf_printf(&text, "{\"from\":%llu,%s", (unsigned long long)device->outbox.acked + 1,
                   stored + 1);
    memcpy(strstr(text.data, key) + strlen(key), device->boot, 36);
    bool is_sent = sim_publish(device, FLO_TOPIC_EVENT, text.data, text.bytes);
    flo_buf_deinit(&text);
    return is_sent;
}

void sim_outbox_send(struct sim_device *device)
{
    uint64_t now_ms = sim_device_now_ms(device);
    uint64_t sequence;

    while ((sequence = flo_outbox_next(&device->outbox, now_ms)) != 0) {
        const char *text = text_of(device->memory, device->memory_count, sequence);
        if (text == NULL) {
            text = text_of(device->disk.events, device->disk.event_count, sequence);
        }
        bool is_sent = text == NULL ? send_gap(device, sequence) : send_event(device, text);
        if (!is_sent) {
            return;
        }
        flo_outbox_sent(&device->outbox, sequence, now_ms);
    }
}

void sim_outbox_acked(struct sim_device *device, const char *boot, uint64_t sequence)
{
    bool is_foreign = boot[0] != '\0' && strcmp(boot, device->boot) != 0;

    if (is_foreign || !flo_outbox_acked(&device->outbox, sequence)) {
        return;
    }
    if (!device->disk_is_full) {
        device->disk.acked = sequence;
        events_drop(device->disk.events, &device->disk.event_count, sequence);
    }
    events_drop(device->memory, &device->memory_count, sequence);
}

static void answer_remove(struct sim_disk *disk, struct sim_answer *answer)
{
    free(answer->text);
    disk->answer_count--;
    memmove(answer, answer + 1,
            (size_t)(disk->answers + disk->answer_count - answer) * sizeof(*answer));
}

/* It is set aside, with all that it said. */
static void outbox_set_aside(struct sim_device *device)
{
    struct sim_disk *disk = &device->disk;

    sim_trace(sim_name(device), "its outbox is damaged");
    events_drop(disk->events, &disk->event_count, UINT64_MAX);
    while (disk->answer_count > 0) {
        answer_remove(disk, &disk->answers[0]);
    }
    disk->stories.count = 0;
    disk->acked = 0;
    disk->boot[0] = '\0';
    disk->outbox_is_damaged = false;
    device->outbox_was_lost = true;
}

void sim_outbox_open(struct sim_device *device)
{
    struct sim_disk *disk = &device->disk;

    if (disk->outbox_is_damaged) {
        outbox_set_aside(device);
    }
    uint64_t last = disk->event_count == 0 ? 0 : disk->events[disk->event_count - 1].sequence;

    device->outbox = (struct flo_outbox){0};
    device->outbox.acked = device->outbox.sent = disk->acked;
    device->outbox.last = last < disk->acked ? disk->acked : last;
    device->sequence = device->outbox.last;
    device->boot_is_stored = disk->boot[0] != '\0';
    if (device->boot_is_stored) {
        memcpy(device->boot, disk->boot, sizeof(device->boot));
    } else {
        flo_uuid_make(device->boot);
    }
}

/* ---- answers ---- */

struct sim_answer *sim_answer_find(struct sim_device *device, const char *order)
{
    for (size_t i = 0; i < device->disk.answer_count; i++) {
        if (strcmp(device->disk.answers[i].order, order) == 0) {
            return &device->disk.answers[i];
        }
    }
    return NULL;
}

void sim_answer_forget(struct sim_device *device, const char *order)
{
    struct sim_answer *answer = sim_answer_find(device, order);

    if (answer != NULL && !device->disk_is_full) {
        answer_remove(&device->disk, answer);
    }
}

void sim_answer_keep(struct sim_device *device, const char *order, const char *text)
{
    struct sim_disk *disk = &device->disk;
    struct sim_answer *answer;

    if (device->disk_is_full) {
        return;
    }
    sim_answer_forget(device, order);
    if (disk->answer_count == ANSWERS_MAX) {
        answer_remove(disk, &disk->answers[0]);
    }
    disk->answers =
        grow(disk->answers, disk->answer_count, &disk->answer_room, sizeof(*disk->answers));
    answer = &disk->answers[disk->answer_count++];
    memset(answer, 0, sizeof(*answer));
    snprintf(answer->order, sizeof(answer->order), "%s", order);
    answer->text = strdup(text);
}

/* ---- ends ---- */

void sim_outbox_lose_memory(struct sim_device *device, bool power)
{
    struct sim_disk *disk = &device->disk;

    events_drop(device->memory, &device->memory_count, UINT64_MAX);
    device->stories.count = 0;
    device->flush_is_due = false;
    for (size_t i = 0; power && i < disk->answer_count;) {
        if (!disk->answers[i].is_synced && sim_chance(&device->random, 500)) {
            answer_remove(disk, &disk->answers[i]);
        } else {
            i++;
        }
    }
}

void sim_disk_deinit(struct sim_disk *disk)
{
    events_drop(disk->events, &disk->event_count, UINT64_MAX);
    while (disk->answer_count > 0) {
        answer_remove(disk, &disk->answers[0]);
    }
    free(disk->events);
    free(disk->stories.items);
    free(disk->answers);
}
