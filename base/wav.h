/* WAV files: the check whether data is one, which several parts need. */
#ifndef FLOTILLA_BASE_WAV_H
#define FLOTILLA_BASE_WAV_H

#include <flotilla/base.h>

/* Returns whether the data is a RIFF file of kind WAVE with samples (PCM or
 * float). */
bool flo_wav_is(const void *data, size_t bytes);

#endif
