/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times by format: what the Collector's Time and FormatTime read and write. Reading:
 * strptime_read.c.
 *
 * A format becomes a list of steps once. The Collector turns directives into Go's layouts, so words
 * of those layouts that stand in the text (Jan, Monday, PM, MST, ...) count as directives as well;
 * digits in the text are refused. Order: compiling, writing. Threads: compiling on main, at start.
 */
#include "ottl/strptime_priv.h"
#include "ottl/times.h"

#define MOST_STEPS 256

const char *const time_zone_names[MOST_ZONES] = {"CET", "EET", "EST", "GMT", "HST", "MET",
                                                 "MST", "PRC", "ROK", "UCT", "WET"};

const char *const time_months[MONTHS] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
const char *const time_weekdays[WEEKDAYS] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                             "Thursday", "Friday", "Saturday"};

/* ---- compiling ---- */

static const struct directive {
    char letter;
    enum step_kind kind;
    enum width width;
    unsigned digits;
    char separator;
} directives[] = {
    {'Y', STEP_YEAR, ZERO, 0, 0},        {'y', STEP_YEAR_2, ZERO, 0, 0},
    {'m', STEP_MONTH, ZERO, 0, 0},       {'o', STEP_MONTH, UNDERSCORE, 0, 0},
    {'q', STEP_MONTH, ONE, 0, 0},        {'b', STEP_MONTH_SHORT, ONE, 0, 0},
    {'h', STEP_MONTH_SHORT, ONE, 0, 0},  {'B', STEP_MONTH_NAME, ONE, 0, 0},
    {'d', STEP_DAY, ZERO, 0, 0},         {'e', STEP_DAY, BLANK, 0, 0},
    {'g', STEP_DAY, ONE, 0, 0},          {'a', STEP_WEEKDAY_SHORT, ONE, 0, 0},
    {'A', STEP_WEEKDAY_NAME, ONE, 0, 0}, {'H', STEP_HOUR, ZERO, 0, 0},
    {'I', STEP_HOUR_12, ZERO, 0, 0},     {'l', STEP_HOUR_12, ONE, 0, 0},
    {'p', STEP_AM_PM, ONE, 0, 0},        {'P', STEP_AM_PM_SMALL, ONE, 0, 0},
    {'M', STEP_MINUTE, ZERO, 0, 0},      {'S', STEP_SECOND, ZERO, 0, 0},
    {'Z', STEP_ZONE_NAME, ONE, 0, 0},    {'z', STEP_ZONE_Z, ONE, 2, 0},
    {'w', STEP_ZONE, ONE, 3, 0},         {'i', STEP_ZONE, ONE, 1, 0},
    {'j', STEP_ZONE, ONE, 2, ':'},       {'k', STEP_ZONE, ONE, 3, ':'},
};

/* Directives that stand for several. */
static const struct {
    char letter;
    const char *text;
} compound[] = {
    {'D', "%m/%d/%\1"},
    {'x', "%m/%d/%\1"},
    {'F', "%Y-%m-%d"},
    {'T', "%H:%M:%S"},
    {'X', "%H:%M:%S"},
    {'r', "%I:%M:%S %P"},
    {'c', "%a %b %d %H:%M:%S %Y"},
    {'R', "%H:%M"},
    {'n', "\n"},
    {'t', "\t"},
    {'%', "%%"},
};

static const struct {
    const char *word;
    enum step_kind kind;
} words[] = {
    {"January", STEP_MONTH_NAME}, {"Jan", STEP_MONTH_SHORT}, {"Monday", STEP_WEEKDAY_NAME},
    {"Mon", STEP_WEEKDAY_SHORT},  {"MST", STEP_ZONE_NAME},   {"PM", STEP_AM_PM},
    {"pm", STEP_AM_PM_SMALL},
};

struct format_compiler {
    struct time_format *f;
    struct err *err;
    char before; /* the character before the directive */
};

static int add_step(struct format_compiler *c, struct step s)
{
    CHECK(c->f->steps);
    if (c->f->n == MOST_STEPS)
        return err_set(c->err, "the format has more than %d parts", MOST_STEPS);
    c->f->steps[c->f->n++] = s;
    return 0;
}

/* A word of Go's layouts; a short one does not end within a word. */
static int word_at(struct slice s)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i].word);
        bool is_short = words[i].kind == STEP_MONTH_SHORT || words[i].kind == STEP_WEEKDAY_SHORT;

        if (s.len < n || memcmp(s.p, words[i].word, n) != 0)
            continue;
        if (!(is_short && s.len > n && s.p[n] >= 'a' && s.p[n] <= 'z'))
            return (int)i;
    }
    return -1;
}

static int add_text(struct format_compiler *c, struct slice s, struct slice written)
{
    size_t from = 0, i = 0;

    while (i < s.len) {
        int w = word_at(slice_of(s.p + i, s.len - i));

        if (w < 0) {
            i++;
            continue;
        }
        if (i > from && add_step(c, (struct step){.kind = STEP_TEXT,
                                                  .text = slice_of(s.p + from, i - from),
                                                  .written = slice_of(s.p + from, i - from)}))
            return -1;
        from = i + strlen(words[w].word);
        if (add_step(c,
                     (struct step){.kind = words[w].kind, .written = slice_of(s.p + i, from - i)}))
            return -1;
        i = from;
    }
    if (from == s.len)
        return 0;
    return add_step(
        c, (struct step){.kind = STEP_TEXT,
                         .text = slice_of(s.p + from, s.len - from),
                         .written = written.len ? written : slice_of(s.p + from, s.len - from)});
}

/* The point before it was taken for text: it belongs to the fraction. At the very beginning there
 * is none, and then it is text in Go's layout: a row of nines. */
static int add_fraction(struct format_compiler *c, char letter, struct slice written)
{
    unsigned digits = letter == 'L' ? 3 : letter == 'f' ? 6 : 9;
    struct step *last = c->f->n ? &c->f->steps[c->f->n - 1] : NULL;

    if (!last && !c->before)
        return add_step(c, (struct step){.kind = STEP_TEXT,
                                         .text = slice_of("999999999", digits),
                                         .written = written});
    if (c->before != '.' && c->before != ',')
        return err_set(c->err,
                       "invalid fractional seconds directive: '%c%%%c'. must be preceded with '.' "
                       "or ','",
                       c->before, letter);
    CHECK(last && last->kind == STEP_TEXT);
    if (--last->text.len == 0)
        c->f->n--;
    return add_step(c, (struct step){.kind = STEP_FRACTION,
                                     .digits = digits,
                                     .separator = c->before,
                                     .written = written});
}

static int add_format(struct format_compiler *c, struct slice s, struct slice written);

static int add_directive(struct format_compiler *c, struct slice s, struct slice written)
{
    char letter = (char)s.p[1];
    size_t n = 1;

    if (letter == '\1')
        return add_step(c, (struct step){.kind = STEP_YEAR_ANY, .width = ZERO, .written = written});
    if (letter == 'L' || letter == 'f' || letter == 's')
        return add_fraction(c, letter, written);
    if (letter == '%')
        return add_text(c, slice_of(s.p, 1), written);
    for (size_t i = 0; i < ARRAY_LEN(directives); i++)
        if (directives[i].letter == letter)
            return add_step(c, (struct step){.kind = directives[i].kind,
                                             .width = directives[i].width,
                                             .digits = directives[i].digits,
                                             .separator = directives[i].separator,
                                             .written = written});
    for (size_t i = 0; i < ARRAY_LEN(compound); i++)
        if (compound[i].letter == letter)
            return add_format(c, slice_str(compound[i].text), written);
    while ((s.p[1] & 0x80) && 1 + n < s.len && (s.p[1 + n] & 0xc0) == 0x80)
        n++;
    return err_set(c->err,
                   "invalid strptime format: [unsupported ctimefmt.toNative() directive: %%%.*s]",
                   (int)n, s.p + 1);
}

/* written: of the directive this stands for; empty in the format itself. */
static int add_format(struct format_compiler *c, struct slice s, struct slice written)
{
    for (size_t i = 0; i < s.len;) {
        const uint8_t *percent = memchr(s.p + i, '%', s.len - i);
        size_t end = percent ? (size_t)(percent - s.p) : s.len;
        struct slice directive;

        if (percent && end + 1 == s.len)
            end = s.len; /* the last one is text */
        if (end > i && add_text(c, slice_of(s.p + i, end - i), written))
            return -1;
        if (end > i)
            c->before = (char)s.p[end - 1];
        if (end == s.len)
            break;
        directive = slice_of(s.p + end, s.len - end);
        if (add_directive(c, directive, written.len ? written : slice_of(s.p + end, 2)))
            return -1;
        c->before = (char)s.p[end + 1];
        i = end + 2;
    }
    return 0;
}

static void load_zones(struct arena *arena, struct time_format *f)
{
    struct err ignored;

    for (size_t i = 0; i < f->n; i++)
        if (f->steps[i].kind == STEP_ZONE_NAME)
            for (size_t k = 0; k < MOST_ZONES && !f->zones[k]; k++)
                f->zones[k] = zone_load(arena, slice_str(time_zone_names[k]), &ignored);
}

struct time_format *time_format_new(struct arena *arena, struct slice text, struct err *err)
{
    struct time_format *f = arena_alloc(arena, sizeof(*f));
    struct format_compiler c = {f, err, 0};

    f->text = text;
    f->steps = arena_alloc(arena, MOST_STEPS * sizeof(*f->steps));
    if (text.len == 0) {
        err_set(err, "format cannot be nil");
        return NULL;
    }
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] >= '0' && text.p[i] <= '9') {
            err_set(err, "format string should not contain decimals");
            return NULL;
        }
    if (add_format(&c, text, (struct slice){0}))
        return NULL;
    load_zones(arena, f);
    return f;
}

/* ---- writing ---- */

static int put_number(struct buf *out, unsigned v, enum width width)
{
    switch (width) {
    case ZERO:
        return buf_printf(out, "%02u", v);
    case BLANK:
        return buf_printf(out, "%2u", v);
    case UNDERSCORE:
        return buf_printf(out, "_%u", v);
    default:
        return buf_printf(out, "%u", v);
    }
}

static int put_fraction(struct buf *out, const struct step *s, uint32_t ns)
{
    unsigned n = s->digits;

    for (unsigned i = n; i < 9; i++)
        ns /= 10;
    for (; n && ns % 10 == 0; n--)
        ns /= 10;
    return n ? buf_printf(out, "%c%0*u", s->separator, (int)n, ns) : 0;
}

static int put_year(struct buf *out, int64_t year)
{
    return buf_printf(out, "%s%04lld", year < 0 ? "-" : "",
                      year < 0 ? -(long long)year : (long long)year);
}

static int put_offset_parts(struct buf *out, const struct step *s, int32_t offset_s)
{
    if (s->digits == 1)
        return buf_printf(out, "%c%02d", offset_s < 0 ? '-' : '+',
                          (offset_s < 0 ? -offset_s : offset_s) / 3600);
    return put_offset(out, offset_s, s->separator ? ":" : "", s->digits == 3);
}

static int put_step(struct buf *out, const struct step *s, const struct ottl_value *time,
                    const struct civil *c)
{
    switch (s->kind) {
    case STEP_TEXT:
        return buf_add(out, s->text.p, s->text.len);
    case STEP_YEAR:
    case STEP_YEAR_ANY:
        return put_year(out, c->year);
    case STEP_YEAR_2:
        return buf_printf(out, "%02d", (int)(c->year < 0 ? -c->year % 100 : c->year % 100));
    case STEP_MONTH:
        return put_number(out, c->month, s->width);
    case STEP_DAY:
        return put_number(out, c->day, s->width);
    case STEP_HOUR:
        return put_number(out, c->hour, s->width);
    case STEP_HOUR_12:
        return put_number(out, c->hour % 12 ? c->hour % 12 : 12, s->width);
    case STEP_MINUTE:
        return put_number(out, c->minute, s->width);
    case STEP_SECOND:
        return put_number(out, c->second, s->width);
    case STEP_MONTH_NAME:
        return buf_printf(out, "%s", time_months[c->month - 1]);
    case STEP_MONTH_SHORT:
        return buf_add(out, time_months[c->month - 1], 3);
    case STEP_WEEKDAY_NAME:
        return buf_printf(out, "%s", time_weekdays[c->weekday]);
    case STEP_WEEKDAY_SHORT:
        return buf_add(out, time_weekdays[c->weekday], 3);
    case STEP_AM_PM:
        return buf_add(out, c->hour >= 12 ? "PM" : "AM", 2);
    case STEP_AM_PM_SMALL:
        return buf_add(out, c->hour >= 12 ? "pm" : "am", 2);
    case STEP_FRACTION:
        return put_fraction(out, s, time->aux);
    case STEP_ZONE_NAME:
        return put_zone(out, time);
    case STEP_ZONE_Z:
        if (time->at.offset_s == 0)
            return buf_add(out, "Z", 1);
        return put_offset(out, time->at.offset_s, "", false);
    default:
        return put_offset_parts(out, s, time->at.offset_s);
    }
}

int time_print(const struct time_format *f, const struct ottl_value *time, struct buf *out)
{
    struct civil c = civil_of(time);

    for (size_t i = 0; i < f->n; i++)
        if (put_step(out, &f->steps[i], time, &c))
            return -1;
    return 0;
}
