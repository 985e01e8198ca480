/* Declares how serving ends the probe of a candidate; see flo_serve_probe(). */
#ifndef FLOTILLA_SERVE_PROBE_H
#define FLOTILLA_SERVE_PROBE_H

#include "agent/serve/state.h"

/* Ends the probe without calling `done`. */
void flo_probe_close(struct probe *probe);
/* Tells whether this probe is for the model's candidate.  `probe` may be
 * NULL. */
bool flo_probe_is_of(const struct probe *probe, const struct serve_place *place);

#endif
