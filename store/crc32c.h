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

/* The same for three pieces at once, each with its own result in `crcs`: the processor can begin
 * one of these CRCs while it waits for another, so that three short ones take little longer than
 * one. */
#define CRC32C_TOGETHER 3
void crc32c_together(uint32_t crcs[CRC32C_TOGETHER], const uint8_t *const data[CRC32C_TOGETHER],
                     const size_t sizes[CRC32C_TOGETHER]);

#endif
