/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this a word, or letters by chance? What url_sanitizer asks of each part of a URL.
 *
 * Each two neighbouring letters weigh more than zero where they are usual in English, less where
 * they are not; a word is what weighs more than zero altogether. Small and large letters are the
 * same, a space is a letter too, other bytes are not there. Less than two letters are a word. Pure;
 * linear.
 */
#ifndef TAILRACE_PROCESSORS_OBFUSCATE_WORDS_H
#define TAILRACE_PROCESSORS_OBFUSCATE_WORDS_H

#include "platform/buf.h"

bool obfuscate_is_word(struct slice s);

#endif
