/* Fallback: decides which target of a route answers a request that the named
 * model cannot answer.  Pure.
 *
 * A route belongs to the device's owner (agent.yaml): a name, and an ordered
 * list of targets.  A target is a model of this device, another device of the
 * site, or a remote endpoint.  A prompt leaves the device only by a target of
 * the last two kinds, and only if every condition below holds. */
#ifndef FLOTILLA_AGENT_CORE_FALLBACK_H
#define FLOTILLA_AGENT_CORE_FALLBACK_H

#include <flotilla/base.h>

#define FLO_FALLBACK_TARGETS_MAX 4

enum flo_fallback_reason {
#define FLO_FALLBACK(name, word, meaning) FLO_FALLBACK_##name,
#include "agent/core/fallback.def"
#undef FLO_FALLBACK
    FLO_FALLBACK_REASONS
};
/* Returns the reason's word, as configurations and answers have it. */
const char *flo_fallback_word(enum flo_fallback_reason reason);
/* Parses the word of a reason.  Returns false when the word is unknown. */
bool flo_fallback_parse(const char *word, enum flo_fallback_reason *out);

enum flo_fallback_kind {
    FLO_TARGET_MODEL,    /* a model of this device */
    FLO_TARGET_DEVICE,   /* another device of the fleet, at the same site */
    FLO_TARGET_ENDPOINT, /* a server outside the fleet */
};

/* Why a target does not take a request. */
enum flo_fallback_refusal {
    FLO_REFUSAL_NONE,      /* the target takes it */
    FLO_REFUSAL_TRIED,     /* the target has failed this request, or is the named model */
    FLO_REFUSAL_NOT_READY, /* no engine, or no connection to the endpoint's process */
    FLO_REFUSAL_TOKEN,     /* the app's token may not use the model */
    FLO_REFUSAL_ABILITY,   /* the target lacks an ability that the request needs */
    FLO_REFUSAL_OFF,       /* a signed order keeps prompts on the device */
    FLO_REFUSAL_SITE,      /* the request itself came from another device */
    FLO_REFUSAL_APP,       /* `apps` of the route does not list the client */
    FLO_REFUSAL_PRIORITY,  /* `never` of the route lists the request's priority */
    FLO_REFUSAL_BUDGET,    /* the day's tokens or money are used up */
    /* the redaction command reads only text, but the request has images, speech
     * or token ids */
    FLO_REFUSAL_MEDIA,
};
/* Returns the refusal as the end of a sentence: "the day's budget is used". */
const char *flo_fallback_refusal_words(enum flo_fallback_refusal refusal);

/* A request that its own model cannot answer, so a route looks for another
 * target. */
struct flo_fallback_ask {
    enum flo_fallback_reason reason;
    bool is_off;          /* a signed order keeps prompts on this device */
    bool is_from_site;    /* another device of the site sent the request */
    bool is_app_allowed;  /* the route allows the client's app to leave the device */
    bool is_never;        /* the route never lets requests of this priority leave the device */
    bool needs_redaction; /* the route has a redaction command */
    bool has_media;       /* images, speech or token ids, which no command redacts */
};
/* A target of a route, in its present state. */
struct flo_fallback_target {
    enum flo_fallback_kind kind;
    bool is_named;    /* the model that the request named */
    bool was_tried;   /* the target has already failed this request */
    bool is_ready;    /* the target's engine, or its endpoint's process, takes requests */
    bool is_allowed;  /* for a model: the app's token may use it */
    bool is_able;     /* the target has every ability that the request needs */
    bool fits_budget; /* the request fits into the rest of the day's budget */
};

/* Returns the index of the first target that takes the request, in the order
 * of the route; `count` if none does.  `refusals` gets why each
 * target does not take it. */
uint32_t flo_fallback_choose(const struct flo_fallback_ask *ask,
                             const struct flo_fallback_target *targets, uint32_t count,
                             enum flo_fallback_refusal refusals[FLO_FALLBACK_TARGETS_MAX]);

#endif
