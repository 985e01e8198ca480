/* News: queues the events of serving in two rings, which share one
 * numbering. */
#undef NDEBUG /* Assertions stay in every build, because a full ring is a bug. */
#include "agent/serve/apart/news.h"

#include <assert.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/host/wake.h"

/* largest number of events that wait in the ring; one call of serve causes at
 * most two for each of 16 models */
#define WORDS_MAX 256
/* Largest number of ended requests that wait in the queue, for example while
 * the caller's thread waits for its disk. */
#define ENDS_MAX 4096

enum kind {
    GONE, /* the entry was dropped before it was handled */
    LOADED,
    ADAPTER,
    LOST,
    FIRST_ANSWER,
    WANTED,
    DRAINED,
    PROBED,
    SCORED,
};

struct word {
    uint64_t number; /* number of the event in the common order of both rings */
    enum kind kind;
    unsigned model;
    enum flo_serve_role role;
    uint64_t ms;
    struct flo_err err; /* code 0: none */
    char name[FLO_NAME_MAX + 1];
    struct flo_digest release;
    void *context; /* argument of `probed` or `scored` */
    void (*probed)(void *context, const struct flo_probe_result *result);
    void (*scored)(void *context, const struct flo_serve_scored *scored);
    struct flo_probe_result probe;
    struct flo_serve_scored score;
};

/* Event for the end of a request, or for a person's rating of an answer. */
struct end {
    uint64_t number;
    unsigned model;
    bool is_feedback, is_good;
    bool is_fallback, has_failed;
    enum flo_fallback_kind target;
    enum flo_fallback_reason reason;
    struct flo_serve_request_stats stats;
};

struct ring {
    size_t first, count, count_max;
};

struct flo_news {
    struct flo_serve_handlers handlers;
    bool is_apart;
    int told_fd;
    struct event *told;
    pthread_mutex_t lock; /* protects the members from here on */
    uint64_t number;      /* number of the newest event */
    /* number of ended requests that were dropped from the queue since this was
     * last reported */
    uint64_t left_out;
    struct ring words, ends;
    struct word word[WORDS_MAX];
    struct end end[ENDS_MAX];
};

/* ---- rings ---- */

static size_t place(const struct ring *ring, size_t i)
{
    return (ring->first + i) % ring->count_max;
}

static size_t put(struct ring *ring)
{
    return place(ring, ring->count++);
}

static void drop_first(struct ring *ring)
{
    ring->first = place(ring, 1);
    if (--ring->count == 0) {
        ring->first = 0; /* the ring is empty, so its memory is used from the start again */
    }
}

/* ---- told ---- */

static void tell_word(const struct flo_news *news, const struct word *word)
{
    const struct flo_serve_handlers *to = &news->handlers;
    const struct flo_err *err = word->err.code == 0 ? NULL : &word->err;

    switch (word->kind) {
    case LOADED:
        if (to->on_loaded != NULL) {
            to->on_loaded(to->context, word->model, word->role, word->ms, err);
        }
        break;
    case ADAPTER:
        if (to->on_adapter != NULL) {
            to->on_adapter(to->context, word->model, word->role, word->name, err);
        }
        break;
    case LOST:
        if (to->on_engine_lost != NULL) {
            to->on_engine_lost(to->context, word->model, word->role, &word->err);
        }
        break;
    case FIRST_ANSWER:
        if (to->on_first_answer != NULL) {
            to->on_first_answer(to->context, word->model, &word->release, word->ms);
        }
        break;
    case WANTED:
        if (to->on_wanted != NULL) {
            to->on_wanted(to->context, word->model);
        }
        break;
    case DRAINED:
        if (to->on_drained != NULL) {
            to->on_drained(to->context, word->model, &word->release);
        }
        break;
    case PROBED:
        word->probed(word->context, &word->probe);
        break;
    case SCORED:
        word->scored(word->context, &word->score);
        break;
    case GONE:
        break;
    }
}

static void tell_end(const struct flo_news *news, const struct end *end)
{
    const struct flo_serve_handlers *to = &news->handlers;

    if (end->is_fallback) {
        if (to->on_fallback != NULL) {
            to->on_fallback(to->context, end->model, end->target, end->reason, end->has_failed);
        }
    } else if (end->is_feedback && to->on_feedback != NULL) {
        to->on_feedback(to->context, end->model, end->is_good);
    } else if (!end->is_feedback && to->on_request != NULL) {
        to->on_request(to->context, end->model, &end->stats);
    }
}

static void add_word(struct flo_news *news, const struct word *word)
{
    if (!news->is_apart) {
        tell_word(news, word);
        return;
    }
    pthread_mutex_lock(&news->lock);
    assert(news->words.count < WORDS_MAX);
    struct word *added = &news->word[put(&news->words)];
    *added = *word;
    added->number = ++news->number;
    pthread_mutex_unlock(&news->lock);
    flo_wake_poke(news->told_fd);
}

static void add_end(struct flo_news *news, const struct end *end)
{
    if (!news->is_apart) {
        tell_end(news, end);
        return;
    }
    pthread_mutex_lock(&news->lock);
    if (news->ends.count == ENDS_MAX) {
        news->left_out++;
    } else {
        struct end *added = &news->end[put(&news->ends)];
        *added = *end;
        added->number = ++news->number;
    }
    pthread_mutex_unlock(&news->lock);
    flo_wake_poke(news->told_fd);
}

void flo_news_loaded(struct flo_news *news, unsigned model, enum flo_serve_role role,
                     uint64_t load_ms, const struct flo_err *err)
{
    struct word word = {.kind = LOADED, .model = model, .role = role, .ms = load_ms};

    if (err != NULL) {
        word.err = *err;
    }
    add_word(news, &word);
}

void flo_news_adapter(struct flo_news *news, unsigned model, enum flo_serve_role role,
                      const char *name, const struct flo_err *err)
{
    struct word word = {.kind = ADAPTER, .model = model, .role = role};

    snprintf(word.name, sizeof(word.name), "%s", name);
    if (err != NULL) {
        word.err = *err;
    }
    add_word(news, &word);
}

void flo_news_lost(struct flo_news *news, unsigned model, enum flo_serve_role role,
                   const struct flo_err *err)
{
    add_word(news, &(const struct word){.kind = LOST, .model = model, .role = role, .err = *err});
}

void flo_news_request(struct flo_news *news, unsigned model,
                      const struct flo_serve_request_stats *stats)
{
    add_end(news, &(const struct end){.model = model, .stats = *stats});
}

void flo_news_fallback(struct flo_news *news, unsigned model, enum flo_fallback_kind kind,
                       enum flo_fallback_reason reason, bool has_failed)
{
    const struct end end = {.model = model,
                            .is_fallback = true,
                            .target = kind,
                            .reason = reason,
                            .has_failed = has_failed};

    add_end(news, &end);
}

void flo_news_feedback(struct flo_news *news, unsigned model, bool is_good)
{
    add_end(news, &(const struct end){.model = model, .is_feedback = true, .is_good = is_good});
}

void flo_news_first_answer(struct flo_news *news, unsigned model, const struct flo_digest *release,
                           uint64_t since_flip_ms)
{
    add_word(news,
             &(const struct word){
                 .kind = FIRST_ANSWER, .model = model, .release = *release, .ms = since_flip_ms});
}

void flo_news_wanted(struct flo_news *news, unsigned model)
{
    add_word(news, &(const struct word){.kind = WANTED, .model = model});
}

void flo_news_drained(struct flo_news *news, unsigned model, const struct flo_digest *release)
{
    add_word(news, &(const struct word){.kind = DRAINED, .model = model, .release = *release});
}

void flo_news_probed(struct flo_news *news, unsigned model,
                     void (*done)(void *context, const struct flo_probe_result *result),
                     void *context, const struct flo_probe_result *result)
{
    add_word(news, &(const struct word){.kind = PROBED,
                                        .model = model,
                                        .role = FLO_ROLE_CANDIDATE,
                                        .probed = done,
                                        .context = context,
                                        .probe = *result});
}

void flo_news_scored(struct flo_news *news, unsigned model,
                     void (*done)(void *context, const struct flo_serve_scored *scored),
                     void *context, const struct flo_serve_scored *scored)
{
    add_word(
        news,
        &(const struct word){
            .kind = SCORED, .model = model, .scored = done, .context = context, .score = *scored});
}

/* ---- what becomes of it before it is heard ---- */

static bool is_of_engine(const struct word *word, unsigned model, enum flo_serve_role role)
{
    return word->model == model && word->role == role &&
           (word->kind == LOADED || word->kind == ADAPTER || word->kind == LOST ||
            word->kind == PROBED);
}

void flo_news_drop(struct flo_news *news, unsigned model, enum flo_serve_role role)
{
    pthread_mutex_lock(&news->lock);
    for (size_t i = 0; i < news->words.count; i++) {
        struct word *word = &news->word[place(&news->words, i)];
        if (is_of_engine(word, model, role)) {
            word->kind = GONE;
        }
    }
    pthread_mutex_unlock(&news->lock);
}

void flo_news_promote(struct flo_news *news, unsigned model)
{
    flo_news_drop(news, model, FLO_ROLE_CURRENT);
    pthread_mutex_lock(&news->lock);
    for (size_t i = 0; i < news->words.count; i++) {
        struct word *word = &news->word[place(&news->words, i)];
        if (is_of_engine(word, model, FLO_ROLE_CANDIDATE)) {
            word->role = FLO_ROLE_CURRENT;
        }
    }
    pthread_mutex_unlock(&news->lock);
}

int flo_news_find_lost(struct flo_news *news, unsigned model, enum flo_serve_role role,
                       struct flo_err *err)
{
    int rv = 0;

    pthread_mutex_lock(&news->lock);
    for (size_t i = 0; i < news->words.count; i++) {
        const struct word *word = &news->word[place(&news->words, i)];
        if (word->kind == LOST && is_of_engine(word, model, role)) {
            *err = word->err;
            rv = word->err.code;
        }
    }
    pthread_mutex_unlock(&news->lock);
    return rv;
}

/* ---- heard ---- */

static uint64_t newest(struct flo_news *news)
{
    uint64_t number;

    pthread_mutex_lock(&news->lock);
    number = news->number;
    pthread_mutex_unlock(&news->lock);
    return number;
}

/* Handles the oldest end of a request if its number is at most `number`.
 * Returns false when there is none. */
static bool hear_end(struct flo_news *news, uint64_t number)
{
    struct end end;

    pthread_mutex_lock(&news->lock);
    const struct end *first = &news->end[news->ends.first];
    bool is_due = news->ends.count > 0 && first->number <= number;
    if (is_due) {
        end = *first;
        drop_first(&news->ends);
    }
    pthread_mutex_unlock(&news->lock);
    if (is_due) {
        tell_end(news, &end);
    }
    return is_due;
}

static bool hear_word(struct flo_news *news, uint64_t number)
{
    struct word word;

    pthread_mutex_lock(&news->lock);
    const struct word *first = &news->word[news->words.first];
    bool is_due = news->words.count > 0 && first->number <= number;
    if (is_due) {
        word = *first;
        drop_first(&news->words);
    }
    pthread_mutex_unlock(&news->lock);
    while (is_due && hear_end(news, word.number)) {
    }
    if (is_due) {
        tell_word(news, &word);
    }
    return is_due;
}

void flo_news_hear_ends(struct flo_news *news)
{
    uint64_t number = newest(news);
    uint64_t left_out;

    while (hear_end(news, number)) {
    }
    pthread_mutex_lock(&news->lock);
    left_out = news->left_out;
    news->left_out = 0;
    pthread_mutex_unlock(&news->lock);
    if (left_out > 0) {
        flo_log(FLO_LOG_ERROR, "serve",
                "%llu ends of requests are left out: %d waited to be counted",
                (unsigned long long)left_out, ENDS_MAX);
    }
}

void flo_news_hear(struct flo_news *news)
{
    uint64_t number = newest(news);

    while (hear_word(news, number)) {
    }
    flo_news_hear_ends(news);
}

static void on_told(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    flo_wake_calm(fd);
    flo_news_hear(context);
}

/* ---- life ---- */

int flo_news_open(struct event_base *home, const struct flo_serve_handlers *handlers,
                  struct flo_news **out, struct flo_err *err)
{
    struct flo_news *news = calloc(1, sizeof(*news));

    if (news == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for serving");
    }
    if (handlers != NULL) {
        news->handlers = *handlers;
    }
    pthread_mutex_init(&news->lock, NULL);
    news->words.count_max = WORDS_MAX;
    news->ends.count_max = ENDS_MAX;
    news->is_apart = home != NULL;
    news->told_fd = news->is_apart ? flo_wake_open() : -1;
    if (news->told_fd >= 0) {
        news->told = event_new(home, news->told_fd, EV_READ | EV_PERSIST, on_told, news);
    }
    if (news->is_apart && (news->told == NULL || event_add(news->told, NULL) != 0)) {
        flo_news_close(news);
        return flo_fail(err, FLO_E_MEMORY, "no news of serving");
    }
    *out = news;
    return 0;
}

void flo_news_close(struct flo_news *news)
{
    if (news == NULL) {
        return;
    }
    flo_event_drop(&news->told);
    flo_fd_cleanup(&news->told_fd);
    pthread_mutex_destroy(&news->lock);
    free(news);
}
