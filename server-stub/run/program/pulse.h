/* Pulse: answers health checks of supervisors and load balancers.
 *
 * A thread of its own answers.  So it answers even while the state's thread
 * waits for a database, and on a standby controller.
 *
 * /health   this process works; restart the process if it does not answer
 * /ready    requests that are sent here reach a leader
 * /metrics  whether this process leads, and the newest epoch that it knows
 *
 * Relays send clients here while no controller leads; the answer is 503,
 * lead.none.  When a leader's thread blocks on an unreachable database, new
 * connections to the leader are answered here, too. */
#ifndef FLOTILLA_SERVER_PULSE_H
#define FLOTILLA_SERVER_PULSE_H

#include <flotilla/base.h>

struct flo_pulse;
struct flo_httpd_tls;

enum flo_pulse_state {
    FLO_PULSE_WAITS,  /* no controller leads, as far as this process knows */
    FLO_PULSE_STANDS, /* this controller stands by and knows the leader */
    FLO_PULSE_LEADS
};

/* Opens the pulse.  `listen` is an address of plain HTTP that is open to all;
 * NULL: only flo_pulse_listen adds listeners.  FLO_E_PORT_IN_USE: the port is
 * taken. */
FLO_MUST_USE int flo_pulse_open(const char *listen, struct flo_pulse **out, struct flo_err *err);
/* Adds a listener on a free port of loopback.  The caller does this before
 * flo_pulse_start. */
FLO_MUST_USE int flo_pulse_listen(struct flo_pulse *pulse, const struct flo_httpd_tls *tls,
                                  uint16_t *port, struct flo_err *err);
FLO_MUST_USE int flo_pulse_start(struct flo_pulse *pulse, struct flo_err *err);
/* Guards a listener of the state's thread, and takes ownership of `fd`, a copy
 * of its socket.  While that thread is silent for half a second and the
 * database is unreachable, the pulse answers the listener's new connections.
 * Any thread may call it, at most twice; the guard begins with
 * flo_pulse_mind. */
void flo_pulse_guard(struct flo_pulse *pulse, int fd, const struct flo_httpd_tls *tls_or_null);
/* Sets the callback that tells whether the database answers.  The pulse calls
 * it until flo_pulse_close. */
void flo_pulse_mind(struct flo_pulse *pulse, bool (*is_heard)(void *context), void *context);
/* Reports this process's state to the pulse; any thread may do so, at least
 * once a second.  Without reports the process is not ready after 5 s, and not
 * healthy after 60 s.  NULL is allowed. */
void flo_pulse_tell(struct flo_pulse *pulse, enum flo_pulse_state state, uint64_t epoch);
/* Reports to the pulse, from any thread, why this controller cannot lead; code
 * 0: it can. */
void flo_pulse_lacks(struct flo_pulse *pulse, const struct flo_err *lacks);
/* NULL is fine. */
void flo_pulse_close(struct flo_pulse *pulse);

#endif
