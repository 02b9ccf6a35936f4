/* SPDX-License-Identifier: Apache-2.0 */
/* `tailrace components`: what is compiled in, as YAML with the Collector's layout. Pure. */
#ifndef TAILRACE_CMD_COMPONENTS_H
#define TAILRACE_CMD_COMPONENTS_H

#include "platform/buf.h"

void components_print(struct buf *out);

#endif
