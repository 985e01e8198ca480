/* Entrance: who may be at the broker's door, and who gives way. */
#include <string.h>

#include "server-stub/core/guard/entrance.h"

#define CUT_WASTE 8
#define SESSION_WORTH 4
#define WASTE_MS 1000 /* a point of the score goes in this time */
#define WASTE_MS_MAX (UINT64_C(2) * FLO_ENTRANCE_WASTE_MAX * WASTE_MS)

/* ---- addresses ---- */

static uint64_t less(uint64_t value, uint64_t by)
{
    return value > by ? value - by : 0;
}

static void pass_time(struct flo_entrance_address *address, uint64_t now_ms)
{
    address->waste_ms = less(address->waste_ms, less(now_ms, address->at_ms));
    address->at_ms = now_ms;
}

static bool wastes(const struct flo_entrance_address *address)
{
    return address->waste_ms >= FLO_ENTRANCE_WASTE_MAX * WASTE_MS;
}

static void add_waste(struct flo_entrance_address *address, uint64_t points)
{
    address->waste_ms += points * WASTE_MS;
    if (address->waste_ms > WASTE_MS_MAX) {
        address->waste_ms = WASTE_MS_MAX;
    }
}

/* Finds the address, or takes the entry that nobody uses for the longest time.
 * There is always one, as there are more entries than places. */
static struct flo_entrance_address *address_of(struct flo_entrance *door, const char *text,
                                               uint64_t now_ms)
{
    struct flo_entrance_address *unused = NULL;

    for (size_t i = 0; i < FLO_COUNT(door->addresses); i++) {
        struct flo_entrance_address *one = &door->addresses[i];
        if (strcmp(one->text, text) == 0) {
            pass_time(one, now_ms);
            return one;
        }
        if (one->held == 0 && (unused == NULL || one->at_ms < unused->at_ms)) {
            unused = one;
        }
    }
    *unused = (struct flo_entrance_address){.at_ms = now_ms};
    snprintf(unused->text, sizeof(unused->text), "%s", text);
    return unused;
}

/* ---- places ---- */

/* Counts the connections in some states of a certificate, or, without a name, of
 * an address.  *oldest becomes the oldest of them, or NULL. */
static uint32_t count(struct flo_entrance *door, unsigned states,
                      const struct flo_entrance_address *address, const char *name_or_null,
                      struct flo_entrance_place **oldest)
{
    uint32_t found = 0;

    *oldest = NULL;
    for (struct flo_entrance_place *one = door->places; one < door->places + door->top; one++) {
        if ((one->state & states) != 0 &&
            (name_or_null != NULL ? strcmp(one->name, name_or_null) == 0
                                  : one->address == address)) {
            found++;
            *oldest = *oldest == NULL || one->at_ms < (*oldest)->at_ms ? one : *oldest;
        }
    }
    return found;
}

static void cut(struct flo_entrance_place *place)
{
    place->state = FLO_ENTRANCE_CUT;
    add_waste(place->address, CUT_WASTE);
}

/* Tells whether an address has fewer than `most` connections in some states.
 * The oldest of them give way for that, if they are old enough. */
static bool has_room(struct flo_entrance *door, const struct flo_entrance_address *address,
                     unsigned states, uint32_t most, uint64_t patience_ms, uint64_t now_ms)
{
    struct flo_entrance_place *oldest;

    while (count(door, states, address, NULL, &oldest) >= most) {
        if (less(now_ms, oldest->at_ms) < patience_ms) {
            return false;
        }
        cut(oldest);
    }
    return true;
}

int flo_entrance_arrives(struct flo_entrance *door, const char *text, int fd, uint64_t now_ms,
                         bool *is_wasteful)
{
    const unsigned all = FLO_ENTRANCE_SILENT | FLO_ENTRANCE_WAITING | FLO_ENTRANCE_NAMELESS;
    struct flo_entrance_address *address = address_of(door, text, now_ms);

    *is_wasteful = wastes(address);
    (void)has_room(door, address, FLO_ENTRANCE_SILENT, FLO_ENTRANCE_EACH_MAX,
                   *is_wasteful ? 0 : FLO_ENTRANCE_PATIENCE_MS, now_ms);
    bool fits = *is_wasteful ? has_room(door, address, all, FLO_ENTRANCE_EACH_MAX,
                                        FLO_ENTRANCE_PATIENCE_MS_MIN, now_ms)
                             : has_room(door, address, all, FLO_ENTRANCE_WAITING_MAX,
                                        FLO_ENTRANCE_WHOLE_MS, now_ms);
    for (int i = 0; fits && i < FLO_ENTRANCE_PLACES; i++) {
        if (door->places[i].state == FLO_ENTRANCE_FREE) {
            door->places[i] = (struct flo_entrance_place){
                .state = FLO_ENTRANCE_SILENT, .fd = fd, .address = address, .at_ms = now_ms};
            address->held++;
            door->top = i < door->top ? door->top : i + 1;
            return i;
        }
    }
    return -1;
}

void flo_entrance_hello(struct flo_entrance *door, int place)
{
    if (door->places[place].state == FLO_ENTRANCE_SILENT) {
        door->places[place].state = FLO_ENTRANCE_WAITING;
    }
}

/* Tells whether the broker may have one more of this address. */
static bool may_enter(struct flo_entrance *door, struct flo_entrance_address *address,
                      uint64_t now_ms)
{
    pass_time(address, now_ms);
    return (!wastes(address) || less(now_ms, address->entered_ms) >= FLO_ENTRANCE_TURN_MS) &&
           has_room(door, address, FLO_ENTRANCE_NAMELESS, FLO_ENTRANCE_EACH_MAX,
                    wastes(address) ? FLO_ENTRANCE_PATIENCE_MS_MIN : FLO_ENTRANCE_PATIENCE_MS,
                    now_ms);
}

int flo_entrance_admits(struct flo_entrance *door, uint64_t now_ms)
{
    struct flo_entrance_place *found = NULL;

    for (struct flo_entrance_place *one = door->places; one < door->places + door->top; one++) {
        if (one->state == FLO_ENTRANCE_WAITING && (found == NULL || one->at_ms < found->at_ms) &&
            may_enter(door, one->address, now_ms)) {
            found = one;
        }
    }
    if (found == NULL) {
        return -1;
    }
    found->address->entered_ms = now_ms;
    found->state = FLO_ENTRANCE_NAMELESS;
    found->is_inside = true;
    return (int)(found - door->places);
}

bool flo_entrance_names(struct flo_entrance *door, int place, const char *name)
{
    struct flo_entrance_place *oldest;

    door->places[place].state = FLO_ENTRANCE_NAMED;
    snprintf(door->places[place].name, sizeof(door->places[place].name), "%s", name);
    if (count(door, FLO_ENTRANCE_NAMED, NULL, name, &oldest) <= FLO_ENTRANCE_NAMED_MAX) {
        return true;
    }
    cut(oldest);
    return false;
}

static void free_place(struct flo_entrance *door, int place)
{
    door->places[place].address->held--;
    door->places[place].state = FLO_ENTRANCE_FREE;
    while (door->top > 0 && door->places[door->top - 1].state == FLO_ENTRANCE_FREE) {
        door->top--;
    }
}

void flo_entrance_connects(struct flo_entrance *door, int place, bool is_due)
{
    struct flo_entrance_address *address = door->places[place].address;

    if (is_due) {
        address->waste_ms = less(address->waste_ms, SESSION_WORTH * WASTE_MS);
        free_place(door, place);
    } else {
        flo_entrance_leaves(door, place);
    }
}

void flo_entrance_leaves(struct flo_entrance *door, int place)
{
    if (door->places[place].state < FLO_ENTRANCE_CUT) {
        add_waste(door->places[place].address, 1);
    }
    free_place(door, place);
}

int flo_entrance_cut(struct flo_entrance *door, uint64_t now_ms)
{
    for (int i = 0; i < door->top; i++) {
        struct flo_entrance_place *one = &door->places[i];
        if (one->state != FLO_ENTRANCE_FREE && one->state < FLO_ENTRANCE_CUT &&
            less(now_ms, one->at_ms) >= FLO_ENTRANCE_WHOLE_MS) {
            cut(one);
        }
        if (one->state == FLO_ENTRANCE_CUT) {
            one->state = FLO_ENTRANCE_TOLD;
            return i;
        }
    }
    return -1;
}
