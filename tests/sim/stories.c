/* Stories: what the checks know of the executions of a device.  Told ones count as
 * kept when the outbox has them on the disk. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static struct sim_story *find(struct sim_stories *stories, const char *id)
{
    for (size_t i = 0; i < stories->count; i++) {
        if (strcmp(stories->items[i].execution.id, id) == 0) {
            return &stories->items[i];
        }
    }
    return NULL;
}

static void put(struct sim_stories *stories, const struct sim_story *story)
{
    struct sim_story *place = find(stories, story->execution.id);

    if (place == NULL && stories->count == stories->room) {
        stories->room = 2 * stories->room + 8;
        stories->items = realloc(stories->items, stories->room * sizeof(*stories->items));
        if (stories->items == NULL) {
            abort();
        }
    }
    if (place == NULL) {
        place = &stories->items[stories->count++];
    }
    *place = *story;
}

void sim_stories_told(struct sim_device *device, const struct flo_agent_execution *execution)
{
    const struct sim_story *before = find(&device->pending, execution->id);
    struct sim_story story = {.execution = *execution,
                              .has_ended = flo_execution_is_end(execution->state)};

    before = before == NULL ? find(&device->disk.stories, execution->id) : before;
    story.ends = (before == NULL ? 0 : before->ends) + story.has_ended;
    sim->updates += story.has_ended;
    put(&device->pending, &story);
    sim_check_end(device, &story);
}

/* A commit of the outbox: with the stories, or of other things. */
void sim_stories_stored(struct sim_device *device)
{
    for (size_t i = 0; device->is_keeping && i < device->pending.count; i++) {
        put(&device->disk.stories, &device->pending.items[i]);
    }
    device->pending.count = device->is_keeping ? 0 : device->pending.count;
    device->is_keeping = false;
}

void sim_stories_forget(struct sim_device *device)
{
    free(device->disk.stories.items);
    memset(&device->disk.stories, 0, sizeof(device->disk.stories));
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
    struct sim_story *last = last_of(&device->pending, rollout);

    return last != NULL ? last : last_of(&device->disk.stories, rollout);
}
