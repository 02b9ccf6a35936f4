/* SPDX-License-Identifier: Apache-2.0 */
/* `tailrace reference`: docs/configuration.md from the tables. Pure. */
#ifndef TAILRACE_CMD_REFERENCE_H
#define TAILRACE_CMD_REFERENCE_H

#include "platform/buf.h"

void reference_print(struct buf *out);

#endif
