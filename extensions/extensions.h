/* SPDX-License-Identifier: Apache-2.0 */
/* The extension types, for the registry only. */
#ifndef TAILRACE_EXTENSIONS_EXTENSIONS_H
#define TAILRACE_EXTENSIONS_EXTENSIONS_H

#include "component/component.h"

extern const struct component_type health_check_extension_type;
extern const struct component_type file_storage_extension_type;
extern const struct component_type basicauth_extension_type;
extern const struct component_type bearertokenauth_extension_type;
extern const struct component_type headers_setter_extension_type;
extern const struct component_type oauth2client_extension_type;
extern const struct component_type zpages_extension_type;
extern const struct component_type pprof_extension_type;

#endif
