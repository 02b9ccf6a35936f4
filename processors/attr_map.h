/* SPDX-License-Identifier: Apache-2.0 */
/* The map lives in model/. */
#include "model/attr_map.h"
