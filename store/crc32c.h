/*
 * CRC-32C (Castagnoli; RFC 3720, appendix B.4), computed by ISA-L with the processor's
 * instructions where it has them. Any thread may call.
 */
#ifndef STORE_CRC32C_H
#define STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0 to begin, or the result so far to go on. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

#endif
