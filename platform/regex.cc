/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RE2 behind C. Latin-1 mode is not used: patterns and text are UTF-8, as in the Collector; bytes that
 * are not UTF-8 match no character but do not end a search.
 *
 * What Go reads differently is translated (regex_dialect.h). RE2 is built with exceptions off here, and allocates only
 * while compiling and for the caches of its automata, which max_mem bounds. When a cache is full RE2 falls back to slower, still linear ways.
 *
 * A search first looks for text that every match must hold, where the expression shows one: what does
 * not match is the usual case, and an automaton costs ten times as much as a look for a word.
 *
 * Threads: compiled objects are immutable to callers; RE2 locks its caches itself.
 */
#include <re2/re2.h>
#include <re2/set.h>

#include <memory>
#include <new>
#include <vector>

extern "C" {
#include "platform/regex.h"
}
#include "platform/regex_dialect.h"

struct regex {
    std::unique_ptr<re2::RE2> re;
    struct regex_dialect dialect;
    std::string needed; /* text that stands in every match; "" when none is known */
    bool plain = false; /* the expression is that text and nothing else */
};

struct regex_set {
    re2::RE2::Set set;
    bool together = true; /* the set compiled; otherwise each expression is asked */
    std::vector<std::unique_ptr<regex>> each;
    explicit regex_set(const re2::RE2::Options &o) : set(o, re2::RE2::UNANCHORED) {}
};

static re2::RE2::Options options(int64_t max_mem)
{
    re2::RE2::Options o(re2::RE2::Quiet); /* errors go to the caller, not to stderr */

    o.set_max_mem(max_mem);
    return o;
}

static re2::StringPiece piece(struct slice s)
{
    return re2::StringPiece(reinterpret_cast<const char *>(s.p), s.len);
}

/* Where the group at p[at] == '(' ends: behind its ')'. */
static size_t group_end(const std::string &p, size_t at)
{
    size_t depth = 0;

    do {
        if (p[at] == '[') {
            at = regex_class_end(p, at);
            continue;
        }
        depth += p[at] == '(';
        depth -= p[at] == ')';
        at += p[at] == '\\' ? 2 : 1;
    } while (at < p.size() && depth > 0);
    return at;
}

/*
 * The longest text that every match of an expression holds, seen without parsing it: characters for
 * themselves that stand next to each other outside of groups. Nothing is said of expressions with
 * alternatives, flags, or escapes by number.
 */
class needed_text {
public:
    std::string best;
    bool plain = true; /* so far */

    explicit needed_text(const std::string &pattern) : p(pattern)
    {
        size_t at = 0;

        known = p.find("\\Q") == p.npos;
        while (at < p.size() && known)
            at = element(at);
        end_run();
        if (!known)
            best.clear();
        plain = plain && known && !best.empty();
    }

private:
    const std::string &p;
    std::string run;
    size_t last = 0; /* where the run's latest character begins */
    bool known = true;

    void end_run()
    {
        if (run.size() > best.size())
            best = run;
        run.clear();
        last = 0;
    }

    void literal(size_t at, size_t n)
    {
        last = run.size();
        run.append(p, at, n);
    }

    size_t other(size_t next)
    {
        plain = false;
        end_run();
        return next;
    }

    size_t escape(size_t at)
    {
        char c = at + 1 < p.size() ? p[at + 1] : 'Q';

        if (strchr("01234567xQEC", c)) {
            known = false;
            return p.size();
        }
        if ((c == 'p' || c == 'P') && at + 2 < p.size() && p[at + 2] == '{')
            return other(p.find('}', at) == p.npos ? p.size() : p.find('}', at) + 1);
        if (c == 'p' || c == 'P')
            return other(at + 3);
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            return other(at + 2);
        literal(at + 1, 1);
        return at + 2;
    }

    /* {2,3}; anything else that stands between braces is not looked at. */
    size_t repeat_end(size_t at)
    {
        size_t end = p.find_first_not_of("0123456789,", at + 1);

        known = known && end != p.npos && p[end] == '}';
        return known ? end + 1 : p.size();
    }

    size_t element(size_t at)
    {
        switch (p[at]) {
        case '|':
            known = false;
            return p.size();
        case '(':
            if (p.compare(at, 2, "(?") == 0 && p.compare(at, 3, "(?:") != 0 && p.compare(at, 4, "(?P<") != 0) {
                known = false;
                return p.size();
            }
            return other(group_end(p, at));
        case '[':
            return other(regex_class_end(p, at));
        case '\\':
            return escape(at);
        case '*':
        case '?': /* its character may be missing */
            run.resize(last);
            return other(at + 1);
        case '{':
            run.resize(last);
            return other(repeat_end(at));
        case '+':
        case '^':
        case '$':
        case '.':
            return other(at + 1);
        default: {
            size_t n = 1;

            while (at + n < p.size() && (p[at + n] & 0xc0) == 0x80)
                n++;
            literal(at, n);
            return at + n;
        }
        }
    }
};

static void note_needed(struct regex *r)
{
    needed_text n(r->dialect.text);

    r->needed = n.best;
    r->plain = n.plain;
}

static bool compile(struct regex *r, int64_t max_mem, struct err *err)
{
    r->re.reset(new (std::nothrow) re2::RE2(r->dialect.text, options(max_mem)));
    if (!r->re)
        return err_set(err, "out of memory") == 0;
    if (!r->re->ok())
        err_set(err, "error parsing regexp: %s", r->re->error().c_str());
    return r->re->ok();
}

static struct regex *regex_of(const char *pattern, std::initializer_list<int64_t> limits, struct err *err)
{
    std::unique_ptr<regex> r(new (std::nothrow) regex());

    if (!r) {
        err_set(err, "out of memory");
        return nullptr;
    }
    if (!regex_translate(pattern, &r->dialect, err))
        return nullptr;
    for (int64_t max_mem : limits) {
        if (compile(r.get(), max_mem, err)) {
            note_needed(r.get());
            return r.release();
        }
        if (!r->re || r->re->error_code() != re2::RE2::ErrorPatternTooLarge)
            break;
    }
    return nullptr;
}

/* With little memory where that is enough, as it nearly always is. */
extern "C" struct regex *regex_new(const char *pattern, struct err *err)
{
    return regex_of(pattern, {2 << 20, 8 << 20}, err);
}

extern "C" struct regex *regex_new_of_data(const char *pattern, struct err *err)
{
    return regex_of(pattern, {512 << 10}, err);
}

extern "C" void regex_free(struct regex **r)
{
    delete *r;
    *r = nullptr;
}

/* Bytes of the character at i, so that an empty match steps over whole characters. */
static size_t step(struct slice s, size_t i)
{
    size_t n = 1;

    if (s.p[i] >= 0xc2 && s.p[i] <= 0xf4)
        while (n < 4 && i + n < s.len && (s.p[i + n] & 0xc0) == 0x80)
            n++;
    return n;
}

/* Does a character begin before i and end behind it? */
static bool is_inside_char(struct slice s, size_t i)
{
    if (i >= s.len || (s.p[i] & 0xc0) != 0x80)
        return false;
    for (size_t back = 1; back <= 3 && back <= i; back++)
        if ((s.p[i - back] & 0xc0) != 0x80)
            return step(s, i - back) > back;
    return false;
}

/* The leftmost-first match from `from` on, and n - 1 of its groups. */
static bool match(const struct regex *r, struct slice s, size_t from, re2::StringPiece *found, size_t n)
{
    re2::StringPiece one;

    if (r->dialect.splits_chars && n == 0) {
        found = &one;
        n = 1;
    }
    while (r->re->Match(piece(s), from, s.len, re2::RE2::UNANCHORED, found, static_cast<int>(n))) {
        if (!r->dialect.splits_chars || !found[0].empty() || s.len == 0)
            return true;
        from = static_cast<size_t>(found[0].data() - reinterpret_cast<const char *>(s.p));
        if (!is_inside_char(s, from))
            return true;
        while (is_inside_char(s, from))
            from++;
    }
    return false;
}

extern "C" bool regex_search(const struct regex *r, struct slice s, size_t from, size_t *start, size_t *end)
{
    re2::StringPiece found;
    bool wanted = start || end;

    if (from > s.len)
        return false;
    if (!r->needed.empty()) {
        const void *at = s.len > from ? memmem(s.p + from, s.len - from, r->needed.data(), r->needed.size()) : nullptr;

        if (!at)
            return false;
        if (r->plain) {
            size_t first = static_cast<size_t>(static_cast<const uint8_t *>(at) - s.p);

            if (start)
                *start = first;
            if (end)
                *end = first + r->needed.size();
            return true;
        }
    }
    if (!match(r, s, from, wanted ? &found : nullptr, wanted))
        return false;
    if (start)
        *start = s.len ? static_cast<size_t>(found.data() - reinterpret_cast<const char *>(s.p)) : 0;
    if (end)
        *end = s.len ? static_cast<size_t>(found.data() - reinterpret_cast<const char *>(s.p)) + found.size() : 0;
    return true;
}

extern "C" size_t regex_groups(const struct regex *r)
{
    return static_cast<size_t>(r->re->NumberOfCapturingGroups());
}

extern "C" const char *regex_group_name(const struct regex *r, size_t group)
{
    auto at = r->re->CapturingGroupNames().find(static_cast<int>(group));

    return at == r->re->CapturingGroupNames().end() ? nullptr : at->second.c_str();
}

extern "C" bool regex_capture(const struct regex *r, struct slice s, struct slice *groups)
{
    size_t n = regex_groups(r);
    std::vector<re2::StringPiece> found(n + 1);

    if (!match(r, s, 0, found.data(), n + 1))
        return false;
    for (size_t i = 0; i < n; i++)
        groups[i] = slice{reinterpret_cast<const uint8_t *>(found[i + 1].data()), found[i + 1].size()};
    return true;
}

/* Go's ReplaceAll: on_match(start, end) for every match that counts; it returns -1 to stop. */
template <typename Search, typename OnMatch>
static int replace_all(struct slice s, struct buf *out, Search search, OnMatch on_match)
{
    size_t copied = 0, at = 0, start, end, last_end = SIZE_MAX;
    int n = 0;

    while (at <= s.len && search(at, &start, &end)) {
        if (start != end || start != last_end) { /* an empty match right after a match is not taken */
            if (buf_add(out, s.p + copied, start - copied))
                return -1;
            if (on_match(start, end))
                return -1;
            copied = last_end = end;
            n++;
        }
        if (end > at)
            at = end;
        else if (at < s.len)
            at += step(s, at);
        else
            break;
    }
    return buf_add(out, s.p + copied, s.len - copied) ? -1 : n;
}

extern "C" int regex_replace(const struct regex *r, struct slice s, struct buf *out,
                             int (*replace)(void *ctx, struct slice match, struct buf *out), void *ctx)
{
    return replace_all(
        s, out, [&](size_t at, size_t *start, size_t *end) { return regex_search(r, s, at, start, end); },
        [&](size_t start, size_t end) { return replace(ctx, slice_of(s.p + start, end - start), out); });
}

extern "C" int regex_replace_groups(const struct regex *r, struct slice s, struct buf *out,
                                    int (*replace)(void *ctx, const struct slice *groups, size_t n, struct buf *out),
                                    void *ctx)
{
    size_t n = regex_groups(r) + 1;
    std::vector<re2::StringPiece> found(n);
    std::vector<struct slice> groups(n);

    if (!s.p)
        s = slice_of("", 0);
    return replace_all(
        s, out,
        [&](size_t at, size_t *start, size_t *end) {
            if (!match(r, s, at, found.data(), n))
                return false;
            *start = static_cast<size_t>(found[0].data() - reinterpret_cast<const char *>(s.p));
            *end = *start + found[0].size();
            return true;
        },
        [&](size_t, size_t) {
            for (size_t i = 0; i < n; i++)
                groups[i] = slice{reinterpret_cast<const uint8_t *>(found[i].data()), found[i].size()};
            return replace(ctx, groups.data(), n, out);
        });
}

/* Adds an expression to the set, and to those that are asked one by one. */
static bool set_add(struct regex_set *r, const char *pattern, struct err *err)
{
    std::string why;

    r->each.emplace_back(regex_new(pattern, err));
    if (!r->each.back())
        return false;
    if (r->each.back()->dialect.splits_chars || r->set.Add(r->each.back()->dialect.text, &why) < 0)
        r->together = false;
    return true;
}

extern "C" struct regex_set *regex_set_new(const char *const *patterns, size_t n, struct err *err)
{
    struct regex_set *r = new (std::nothrow) regex_set(options(16 << 20));

    if (!r) {
        err_set(err, "out of memory");
        return nullptr;
    }
    for (size_t i = 0; i < n; i++)
        if (!set_add(r, patterns[i], err)) {
            delete r;
            return nullptr;
        }
    r->together = r->together && r->set.Compile();
    return r;
}

extern "C" void regex_set_free(struct regex_set **r)
{
    delete *r;
    *r = nullptr;
}

/* What the set cannot say: it is too large, or its automaton found no memory for this text. */
static bool match_each(const struct regex_set *r, struct slice s, uint64_t *hits)
{
    bool any = false;

    for (size_t i = 0; i < r->each.size() && (hits || !any); i++)
        if (regex_search(r->each[i].get(), s, 0, nullptr, nullptr)) {
            any = true;
            if (hits)
                hits[i / 64] |= uint64_t{1} << (i % 64);
        }
    return any;
}

extern "C" bool regex_set_match(const struct regex_set *r, struct slice s, uint64_t *hits)
{
    re2::RE2::Set::ErrorInfo why = {re2::RE2::Set::kNoError};
    std::vector<int> found;

    if (hits)
        memset(hits, 0, (r->each.size() + 63) / 64 * sizeof(*hits));
    if (r->each.empty())
        return false;
    if (!r->together)
        return match_each(r, s, hits);
    if (!r->set.Match(piece(s), hits ? &found : nullptr, &why))
        return why.kind != re2::RE2::Set::kNoError && match_each(r, s, hits);
    for (int i : found)
        hits[i / 64] |= uint64_t{1} << (i % 64);
    return true;
}

extern "C" size_t regex_letter(struct slice s)
{
    static const re2::RE2 *const letter = new re2::RE2("\\pL");
    re2::StringPiece found;

    return letter->Match(piece(s), 0, s.len, re2::RE2::ANCHOR_START, &found, 1) ? found.size() : 0;
}
