/* Requests in protobuf's wire format. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    requests_check(bytes, size, CODEC_PROTOBUF);
    return 0;
}
