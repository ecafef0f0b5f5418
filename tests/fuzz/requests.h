/* Decoding requests, for the targets of both formats. */
#ifndef TESTS_FUZZ_REQUESTS_H
#define TESTS_FUZZ_REQUESTS_H

#include "proto/codec.h"

/*
 * Decodes `bytes` as each of the three requests. What decodes must keep what proto/codec.h
 * promises, and must come back the same when it is packed and decoded again. What does not decode
 * must have an error that can be sent.
 */
void requests_check(const uint8_t *bytes, size_t size, enum codec_format format);

#endif
