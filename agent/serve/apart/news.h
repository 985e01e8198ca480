/* News: events that serving reports to its caller (struct flo_serve_handlers,
 * and the ends of probe and score).
 *
 * Without a serving thread, the handler is called at once.  With one, events
 * are queued in order until the caller's thread handles them, from its loop or
 * by flo_serve_hear().  Nothing is allocated: a call causes a limited number of
 * events, so the queue always has room (an assertion checks it).  Ends of
 * requests have a limit of their own; further ends are dropped and counted. */
#ifndef FLOTILLA_SERVE_NEWS_H
#define FLOTILLA_SERVE_NEWS_H

#include "agent/serve/serve.h"

struct event_base;
struct flo_news;

/* Opens the queue.  `home`: event loop of the caller's thread; NULL: handlers
 * are called at once. */
FLO_MUST_USE int flo_news_open(struct event_base *home, const struct flo_serve_handlers *handlers,
                               struct flo_news **out, struct flo_err *err);
/* Drops all waiting events and closes the queue.  NULL is allowed. */
void flo_news_close(struct flo_news *news);
/* Calls the handlers of all waiting events, on the caller's thread. */
void flo_news_hear(struct flo_news *news);
/* Calls the handlers of the waiting ends of requests only. */
void flo_news_hear_ends(struct flo_news *news);

void flo_news_loaded(struct flo_news *news, unsigned model, enum flo_serve_role role,
                     uint64_t load_ms, const struct flo_err *err);
void flo_news_adapter(struct flo_news *news, unsigned model, enum flo_serve_role role,
                      const char *name, const struct flo_err *err);
void flo_news_lost(struct flo_news *news, unsigned model, enum flo_serve_role role,
                   const struct flo_err *err);
void flo_news_request(struct flo_news *news, unsigned model,
                      const struct flo_serve_request_stats *stats);
void flo_news_fallback(struct flo_news *news, unsigned model, enum flo_fallback_kind kind,
                       enum flo_fallback_reason reason, bool has_failed);
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

/* Drops the waiting events about the engine that had the role until now. */
void flo_news_drop(struct flo_news *news, unsigned model, enum flo_serve_role role);
/* Returns the error of a waiting event that the role's engine was lost; 0:
 * there is no such event. */
FLO_MUST_USE int flo_news_find_lost(struct flo_news *news, unsigned model, enum flo_serve_role role,
                                    struct flo_err *err);
/* Changes the role of the candidate's waiting events to the current one,
 * because its engine is the current one now. */
void flo_news_promote(struct flo_news *news, unsigned model);

#endif
