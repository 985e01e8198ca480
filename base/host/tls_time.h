/* TLS time: gives TLS the right time on a machine whose clock may be wrong.
 *
 * A device whose clock has no battery starts in 1970, where every certificate
 * "is not yet valid".  OpenSSL reads the system's clock; this file makes it use
 * a trusted time.  The change holds for every verification in the process,
 * because paho, unlike libcurl, offers no hook for one connection. */
#ifndef FLOTILLA_HOST_TLS_TIME_H
#define FLOTILLA_HOST_TLS_TIME_H

#include <flotilla/base.h>

/* Sets the time by which certificates are verified: `now_ms` (since 1970), which
 * then grows with the machine's uptime.  A certificate that ended before is
 * refused, whatever the machine's clock says.
 *
 * A certificate that begins later is accepted unless a time service keeps the
 * clock right (`is_synchronised`), because the true time may be later.  Any
 * thread may call it, any number of times.  With 0 only the machine's clock
 * counts again.  Returns FLO_E_INTERNAL when this OpenSSL version does not
 * allow it. */
FLO_MUST_USE int flo_tls_time_set(uint64_t now_ms, bool is_synchronised, struct flo_err *err);

/* Gives the validity of the last peer certificate that was accepted.  Its start
 * is a lower bound of the time, which its issuer vouches for.  Returns false
 * when there was none yet. */
bool flo_tls_time_peer(uint64_t *from_ms, uint64_t *until_ms);

/* Records the reason of each later refused verification in this process.  Works
 * also when no time was set. */
void flo_tls_watch(void);
/* Bytes of the text of flo_tls_problem(). */
#define FLO_TLS_PROBLEM_BYTES 256
/* Writes in words why the last certificate was refused since
 * flo_tls_problem_clear.  For a certificate out of date the text has its two
 * dates and this clock's time, because the dates or the clock may be wrong.
 * Returns false when none was refused, or flo_tls_watch() was not called. */
bool flo_tls_problem(char out[FLO_TLS_PROBLEM_BYTES]);
/* Writes the text of flo_tls_problem() for a certificate with these dates;
 * `code` is libcrypto's. */
void flo_tls_problem_text(int code, uint64_t from_ms, uint64_t until_ms,
                          char out[FLO_TLS_PROBLEM_BYTES]);
void flo_tls_problem_clear(void);

#endif
