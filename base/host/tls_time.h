/* The time for TLS, on a machine whose clock may be wrong.
 *
 * A device without a battery wakes up in 1970, and every certificate "is not
 * yet valid".  OpenSSL asks the system's clock; here it gets the
 * trusted time.  That holds for each verification of this process, whoever asks
 * for it: libcurl lets one in, paho does not. */
#ifndef FLOTILLA_HOST_TLS_TIME_H
#define FLOTILLA_HOST_TLS_TIME_H

#include <flotilla/base.h>

/* The time is `least_ms` (since 1970) or later; from here on it grows with the
 * machine's uptime.  A certificate that ended before is refused, as it is when
 * the clock, which is not behind that, says so.  One that begins later is not
 * refused while the clock is behind, or while nobody keeps it right
 * (`is_synchronised` false): of such a machine nobody knows that it is not
 * later yet.  Any thread, any number of times; 0: the clock alone counts again.
 * FLO_E_INTERNAL: this OpenSSL does not let us. */
FLO_MUST_USE int flo_tls_time_set(uint64_t least_ms, bool is_synchronised, struct flo_err *err);

/* When the certificate of the last peer that held begins and ends: whoever
 * issued it says that it was not earlier.  false: none yet. */
bool flo_tls_time_peer(uint64_t *from_ms, uint64_t *until_ms);

/* Verifications of this process are watched from here on, also without a time
 * that was set. */
void flo_tls_watch(void);
/* Why the last certificate was refused since flo_tls_problem_clear, in words.
 * For one that is out of date: its two times and this clock's, one of which is
 * wrong.  false: none was refused, or nobody watched. */
#define FLO_TLS_PROBLEM_BYTES 256
bool flo_tls_problem(char out[FLO_TLS_PROBLEM_BYTES]);
/* The same words of a certificate with these times; `code` is libcrypto's. */
void flo_tls_problem_text(int code, uint64_t from_ms, uint64_t until_ms,
                          char out[FLO_TLS_PROBLEM_BYTES]);
void flo_tls_problem_clear(void);

#endif
