/* Derived artifacts: decides which ones the agent makes, how often it tries,
 * and how long a try may take.
 *
 * Packed weights are optional.  After a failed try, the agent packs the model
 * again only after its own restart.  After two tries that failed because of the
 * disk or the time limit, this version of the agent does not pack the model any
 * more.  One such failure may only mean that the machine was busy. */
#include <assert.h>
#include <string.h>

#include <flotilla/agent.h>
#include <flotilla/errors/engine.h>

/* Time limit of packing: 10 s, and a second for every 5 MB of the model (for a
 * slow and shared processor).  FLO_DERIVED_MAKE_MS_MAX bounds it. */
#define MAKE_MS_MIN 10000
#define MAKE_BYTES_PER_MS 5000

static bool is_noted(const struct flo_model_notes *notes, const struct flo_digest *model)
{
    return flo_digest_is_among(model, notes->models, FLO_COUNT(notes->models));
}

static void note(struct flo_model_notes *notes, const struct flo_digest *model)
{
    assert(!flo_digest_is_zero(model));
    if (!is_noted(notes, model)) {
        notes->models[notes->count++ % FLO_COUNT(notes->models)] = *model;
    }
}

bool flo_derived_is_asked_for(const struct flo_derived *derived, const struct flo_digest *model)
{
    assert(!flo_digest_is_zero(model));
    return !is_noted(&derived->unpackable, model) && !is_noted(&derived->unpacked, model);
}

bool flo_derived_may_make(struct flo_derived *derived, const struct flo_digest *model,
                          unsigned failures)
{
    assert(!flo_digest_is_zero(model));
    if (failures < FLO_DERIVED_TRIES_MAX) {
        return true;
    }
    note(&derived->unpacked, model);
    return false;
}

void flo_derived_made(struct flo_derived *derived, const struct flo_digest *model)
{
    assert(!flo_digest_is_zero(model));
    derived->has_made = true;
    derived->fresh = *model;
}

bool flo_derived_failed(struct flo_derived *derived, const struct flo_digest *model, int code,
                        bool has_written)
{
    assert(code < 0);
    if (code == FLO_E_NOT_BUILT) {
        note(&derived->unpackable, model);
        return false;
    }
    note(&derived->unpacked, model);
    return has_written || code == FLO_E_ENGINE_HANG;
}

bool flo_derived_refused(struct flo_derived *derived, const struct flo_digest *model)
{
    bool is_again = flo_digest_equal(&derived->refused, model);

    assert(!flo_digest_is_zero(model));
    flo_derived_doubt(derived);
    derived->refused = *model;
    if (is_again) {
        note(&derived->unpacked, model);
    }
    return is_again;
}

void flo_derived_accepted(struct flo_derived *derived)
{
    memset(&derived->refused, 0, sizeof(derived->refused));
}

void flo_derived_doubt(struct flo_derived *derived)
{
    memset(&derived->fresh, 0, sizeof(derived->fresh));
}

bool flo_derived_is_fresh(const struct flo_derived *derived, const struct flo_digest *model)
{
    assert(!flo_digest_is_zero(model));
    return flo_digest_equal(&derived->fresh, model);
}

bool flo_derived_is_lacking(const struct flo_derived *derived, const struct flo_digest *model)
{
    assert(!flo_digest_is_zero(model));
    return is_noted(&derived->unpacked, model);
}

bool flo_derived_is_expected(const struct flo_derived *derived)
{
    return derived->unpackable.count == 0 || derived->has_made;
}

uint64_t flo_derived_ms_max(uint64_t model_bytes)
{
    uint64_t ms = MAKE_MS_MIN + model_bytes / MAKE_BYTES_PER_MS;

    return ms < FLO_DERIVED_MAKE_MS_MAX ? ms : FLO_DERIVED_MAKE_MS_MAX;
}
