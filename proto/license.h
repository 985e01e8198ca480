/* Licences of models: compares an SPDX expression with a list of allowed
 * ids. */
#ifndef FLOTILLA_PROTO_LICENSE_H
#define FLOTILLA_PROTO_LICENSE_H

#include <flotilla/base.h>

#define FLO_LICENSE_BYTES_MAX 63

/* Tells whether a list of SPDX ids, separated by commas, allows the licence.
 * `A OR B` needs one of them, `A AND B` both; AND binds closer.  Letter case
 * does not matter.  Anything else, parentheses too, counts as part of an id.
 * An empty licence is not allowed.
 *
 * Writes the first id that the list lacks into `refused` [bytes]. */
bool flo_license_is_allowed(const char *list, const char *license, char *refused, size_t bytes);
/* Finds the id behind "SPDX-License-Identifier:" in the text of a licence file,
 * up to the end of its line.  Returns false if there is none of at most
 * FLO_LICENSE_BYTES_MAX bytes. */
bool flo_license_find(const char *text, char *out, size_t out_bytes);

#endif
