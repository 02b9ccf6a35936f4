/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what the otlp_grpc exporter reads: HTTP/2 frames, gRPC messages and trailers, Status details,
 * compressed answers. Input: byte 0 chooses the settings (bit 0) and whether good SETTINGS come first
 * (bit 1), byte 1 the size of the pieces, the rest is what the backend says.
 */
#include "tests/fuzz/played_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct test_settings settings[2];
    static const uint8_t opening[] = "\0\0\0\4\0\0\0\0\0"  /* SETTINGS */
                                     "\0\0\0\4\1\0\0\0\0"; /* their acknowledgement */

    if (!settings[0].settings) {
        settings[0] = ts_new(&otlp_grpc_exporter_type, "{endpoint: '127.0.0.1:1', tls: {insecure: true}, "
                                                       "sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}");
        settings[1] = ts_new(&otlp_grpc_exporter_type, "{endpoint: '127.0.0.1:1', tls: {insecure: true}, compression: none, "
                                                       "sending_queue: {queue_size: 2}, retry_on_failure: {initial_interval: 1ms}}");
    }
    if (size < 2)
        return 0;
    play(&otlp_grpc_exporter_type, &settings[data[0] & 1], opening, data[0] & 2 ? sizeof(opening) - 1 : 0, data + 2,
         size - 2, 1 + (size_t)data[1] * 16);
    return 0;
}
