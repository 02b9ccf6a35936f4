/* SPDX-License-Identifier: Apache-2.0 */
/* The readers live in model/. */
#include "model/wire_checked.h"
