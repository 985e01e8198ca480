/* Pulse: what supervisors and load balancers ask this process.
 *
 * A thread of its own answers, so it does when the state's thread waits for a
 * database, and on a controller that stands by.
 *
 *   /health  this process works: restart it when it does not say so
 *   /ready   requests that are sent here reach a leader
 *   /metrics this process: does it lead, and the newest epoch that it knows of
 *
 * Relays send here who comes while nobody leads: 503, lead.none.  A leader
 * whose thread stands still behind a database that is gone has its new
 * connections answered here, too. */
#ifndef FLOTILLA_SERVER_PULSE_H
#define FLOTILLA_SERVER_PULSE_H

#include <flotilla/base.h>

struct flo_pulse;
struct flo_httpd_tls;

enum flo_pulse_state {
    FLO_PULSE_WAITS,  /* no controller leads, as far as this one knows */
    FLO_PULSE_STANDS, /* by, and knows a leader */
    FLO_PULSE_LEADS
};

/* `listen`: plain HTTP for everybody there; NULL: only flo_pulse_listen.
 * FLO_E_PORT_IN_USE. */
FLO_MUST_USE int flo_pulse_open(const char *listen, struct flo_pulse **out, struct flo_err *err);
/* One more listener, on a free port of loopback; before flo_pulse_start. */
FLO_MUST_USE int flo_pulse_listen(struct flo_pulse *pulse, const struct flo_httpd_tls *tls,
                                  uint16_t *port, struct flo_err *err);
FLO_MUST_USE int flo_pulse_start(struct flo_pulse *pulse, struct flo_err *err);
/* A listener of the state's thread, `fd` a copy of its socket, which is taken.
 * While the thread has said nothing for half a second and the database is
 * unheard, those who come are answered here.  From any thread, twice at most;
 * before flo_pulse_mind nobody is. */
void flo_pulse_guard(struct flo_pulse *pulse, int fd, const struct flo_httpd_tls *tls_or_null);
/* Who knows whether the database is heard; asked until flo_pulse_close. */
void flo_pulse_mind(struct flo_pulse *pulse, bool (*is_heard)(void *context), void *context);
/* From any thread, once a second at least: a state that is not told is stale
 * after 5 s (not ready) and 60 s (not healthy).  NULL is fine. */
void flo_pulse_tell(struct flo_pulse *pulse, enum flo_pulse_state state, uint64_t epoch);
/* From any thread: why it could not lead; code 0: it could. */
void flo_pulse_lacks(struct flo_pulse *pulse, const struct flo_err *lacks);
/* NULL is fine. */
void flo_pulse_close(struct flo_pulse *pulse);

#endif
