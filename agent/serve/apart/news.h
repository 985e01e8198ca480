/* News: what serve tells its caller (struct flo_serve_handlers, and the ends of
 * probe and score).
 *
 * Without a thread of its own, serve calls the handler at once.  With one, news
 * wait in their order until the caller's thread hears them, from its loop or by
 * flo_serve_hear().  Nothing is allocated: what a call causes is told at most
 * once per call, so it has room (an assertion).  Ends of requests have a bound,
 * and those beyond it are left out and counted. */
#ifndef FLOTILLA_SERVE_NEWS_H
#define FLOTILLA_SERVE_NEWS_H

#include "agent/serve/serve.h"

struct event_base;
struct flo_news;

/* `home`: loop of the thread that hears; NULL: all is told at once. */
FLO_MUST_USE int flo_news_open(struct event_base *home, const struct flo_serve_handlers *handlers,
                               struct flo_news **out, struct flo_err *err);
/* News that nobody heard are forgotten.  NULL is fine. */
void flo_news_close(struct flo_news *news);
/* The caller's thread hears all that was told until now; or of it the ends of
 * requests alone. */
void flo_news_hear(struct flo_news *news);
void flo_news_hear_ends(struct flo_news *news);

void flo_news_loaded(struct flo_news *news, unsigned model, enum flo_serve_role role,
                     uint64_t load_ms, const struct flo_err *err);
void flo_news_adapter(struct flo_news *news, unsigned model, enum flo_serve_role role,
                      const char *name, const struct flo_err *err);
void flo_news_lost(struct flo_news *news, unsigned model, enum flo_serve_role role,
                   const struct flo_err *err);
void flo_news_request(struct flo_news *news, unsigned model,
                      const struct flo_serve_request_stats *stats);
void flo_news_feedback(struct flo_news *news, unsigned model, bool is_good);
void flo_news_first_answer(struct flo_news *news, unsigned model, const struct flo_digest *release,
                           uint64_t since_flip_ms);
void flo_news_wanted(struct flo_news *news, unsigned model);
void flo_news_drained(struct flo_news *news, unsigned model, const struct flo_digest *release);
void flo_news_probed(struct flo_news *news, unsigned model,
                     void (*done)(void *context, const struct flo_probe_result *result),
                     void *context, const struct flo_probe_result *result);
void flo_news_scored(struct flo_news *news, unsigned model,
                     void (*done)(void *context, const struct flo_serve_scored *scored),
                     void *context, const struct flo_serve_scored *scored);

/* The role is free: nothing of the engine that had it is told any more. */
void flo_news_drop(struct flo_news *news, unsigned model, enum flo_serve_role role);
/* The loss of that engine, which waits to be heard; 0: none does. */
FLO_MUST_USE int flo_news_find_lost(struct flo_news *news, unsigned model, enum flo_serve_role role,
                                    struct flo_err *err);
/* The candidate's engine is the current one, and so are its news. */
void flo_news_promote(struct flo_news *news, unsigned model);

#endif
