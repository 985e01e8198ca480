/* WAV files: checks whether data is a WAV file. */
#ifndef FLOTILLA_BASE_WAV_H
#define FLOTILLA_BASE_WAV_H

#include <flotilla/base.h>

/* Tells whether the data is a RIFF file of kind WAVE with samples (PCM or
 * float). */
bool flo_wav_is(const void *data, size_t bytes);

#endif
