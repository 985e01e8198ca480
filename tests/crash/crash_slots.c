/* crash_slots STATE_DIR MODEL DIGEST: what an agent does with its records when
 * a staged release is activated, soaks and is committed; without an engine.
 *
 * Goes on from wherever an earlier run was killed.  The sweep runs it after
 * the worker until the agent itself does all of this. */
#include <stdio.h>
#include <string.h>

#include <flotilla/updater.h>

static int update(struct flo_store *store, const char *model, const struct flo_digest *release,
                  struct flo_err *err)
{
    struct flo_slots slots;
    struct flo_device device;
    int rv = flo_store_device_read(store, &device, err);

    if (rv == 0) {
        rv = flo_store_slots_read(store, model, &slots, err);
    }
    if (rv == 0 && flo_slots_heal(&slots)) {
        rv = flo_store_slots_write(store, &slots, err);
    }
    if (rv < 0 || flo_digest_equal(&slots.current, release)) {
        return rv;
    }
    if (slots.phase == FLO_SLOT_IDLE || !flo_digest_equal(&slots.candidate, release)) {
        struct flo_slots execution = {.attempt = 1, .rollout = "r-0001"};
        rv = flo_slots_stage(&slots, release, &execution, err);
        if (rv == 0) {
            rv = flo_store_slots_write(store, &slots, err);
        }
        if (rv == 0) {
            device.desired_rev++;
            rv = flo_store_device_write(store, &device, err);
        }
    }
    if (rv == 0 && slots.phase == FLO_SLOT_STAGED) {
        rv = flo_slots_begin_trial(&slots, 3, err);
        if (rv == 0) {
            rv = flo_store_slots_write(store, &slots, err);
        }
    }
    if (rv == 0) {
        rv = flo_slots_count_try(&slots, err);
        if (rv == 0) {
            rv = flo_store_slots_write(store, &slots, err);
        }
    }
    if (rv == 0) {
        rv = flo_slots_commit(&slots, err);
    }
    return rv < 0 ? rv : flo_store_slots_write(store, &slots, err);
}

int main(int argc, char **argv)
{
    struct flo_store *store = NULL;
    struct flo_digest release;
    struct flo_err err = {0};

    if (argc != 4 || !flo_digest_parse(argv[3], &release)) {
        (void)fprintf(stderr, "usage: crash_slots STATE_DIR MODEL DIGEST\n");
        return FLO_EXIT_USAGE;
    }
    int rv = flo_store_open(argv[1], true, &store, &err);
    if (rv == 0) {
        rv = update(store, argv[2], &release, &err);
    }
    if (rv == 0) {
        rv = flo_store_collect(store, NULL, 0, NULL, &err);
    }
    flo_store_close(store);
    return rv < 0 ? flo_err_print(stderr, &err) : 0;
}
