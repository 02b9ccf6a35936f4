/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what the otlp_http exporter reads: answers in HTTP/1.1, their bodies (partial success and Status in
 * protobuf and JSON), Retry-After. Input: byte 0 chooses the encoding (bit 0) and whether a good status line
 * comes first (bit 1), byte 1 the size of the pieces, the rest is what the backend says.
 */
#include "tests/fuzz/played_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct test_settings settings[2];
    static const char opening[] = "HTTP/1.1 200 OK\r\n";

    if (!settings[0].settings) {
        settings[0] = ts_new(&otlp_http_exporter_type, "{endpoint: 'http://127.0.0.1:1', sending_queue: {enabled: false}, "
                                                       "retry_on_failure: {enabled: false}, max_conns_per_host: 1}");
        settings[1] = ts_new(&otlp_http_exporter_type, "{endpoint: 'http://127.0.0.1:1', encoding: json, compression: none, "
                                                       "sending_queue: {queue_size: 2}, retry_on_failure: {initial_interval: 1ms}}");
    }
    if (size < 2)
        return 0;
    play(&otlp_http_exporter_type, &settings[data[0] & 1], (const uint8_t *)opening, data[0] & 2 ? sizeof(opening) - 1 : 0,
         data + 2, size - 2, 1 + (size_t)data[1] * 16);
    return 0;
}
