/* The probe of a candidate: see flo_serve_probe(). */
#ifndef FLOTILLA_SERVE_PROBE_H
#define FLOTILLA_SERVE_PROBE_H

#include "agent/serve/state.h"

/* The probe's `done` is not called. */
void flo_probe_close(struct probe *probe);
/* Is it of this model's candidate?  NULL: no. */
bool flo_probe_is_of(const struct probe *probe, const struct serve_place *place);

#endif
