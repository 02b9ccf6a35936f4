/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See regex_dialect.h. One pass over the pattern that copies it and changes what the two read
 * differently:
 *   (?<n>...)   names of groups, which this RE2 may not know yet: (?P<n>...) means the same; names
 * are ASCII \C          any byte at all: RE2's own \p{letter}  names of classes, in any case and
 * whole, as Go takes them since 1.25 \B          RE2 finds it between the bytes of a character too:
 * noted, the search leaves that out
 *   (((...      Go nests a thousand groups, no more
 * Limits: of Go's new names LC, Cn and Assigned stay unknown.
 */
#include "platform/regex_dialect.h"

#include <ctype.h>
#include <string.h>

static const size_t most_nested = 999; /* groups; Go counts what is in them as one level more */

size_t regex_class_end(const std::string &p, size_t at)
{
    at += at + 1 < p.size() && p[at + 1] == '^' ? 2 : 1;
    if (at < p.size() && p[at] == ']') /* first in a class it is itself */
        at++;
    while (at < p.size() && p[at] != ']') {
        if (p[at] == '\\')
            at += 2;
        else if (p.compare(at, 2, "[:") == 0 && p.find(":]", at) != p.npos)
            at = p.find(":]", at) + 2;
        else
            at++;
    }
    return at + 1;
}

/* General categories: RE2's name, and what else Go calls it. */
static const struct {
    const char *name, *also, *too;
} categories[] = {
    {"Any", "any", ""},
    {"C", "other", ""},
    {"Cc", "control", "cntrl"},
    {"Cf", "format", ""},
    {"Co", "privateuse", ""},
    {"Cs", "surrogate", ""},
    {"L", "letter", ""},
    {"Ll", "lowercaseletter", ""},
    {"Lm", "modifierletter", ""},
    {"Lo", "otherletter", ""},
    {"Lt", "titlecaseletter", ""},
    {"Lu", "uppercaseletter", ""},
    {"M", "mark", "combiningmark"},
    {"Mc", "spacingmark", ""},
    {"Me", "enclosingmark", ""},
    {"Mn", "nonspacingmark", ""},
    {"N", "number", ""},
    {"Nd", "decimalnumber", "digit"},
    {"Nl", "letternumber", ""},
    {"No", "othernumber", ""},
    {"P", "punctuation", "punct"},
    {"Pc", "connectorpunctuation", ""},
    {"Pd", "dashpunctuation", ""},
    {"Pe", "closepunctuation", ""},
    {"Pf", "finalpunctuation", ""},
    {"Pi", "initialpunctuation", ""},
    {"Po", "otherpunctuation", ""},
    {"Ps", "openpunctuation", ""},
    {"S", "symbol", ""},
    {"Sc", "currencysymbol", ""},
    {"Sk", "modifiersymbol", ""},
    {"Sm", "mathsymbol", ""},
    {"So", "othersymbol", ""},
    {"Z", "separator", ""},
    {"Zl", "lineseparator", ""},
    {"Zp", "paragraphseparator", ""},
    {"Zs", "spaceseparator", ""},
};

static bool parts_names(char c)
{
    return c == '_' || c == '-' || c == ' ';
}

/* A script as RE2 has it: Old_Italic. Names in mixed case are thought to be right. */
static std::string script_name(const std::string &name)
{
    bool small = false, large = false, apart = false;
    std::string out;

    for (size_t i = 0; i < name.size(); i++) {
        bool first = i == 0 || parts_names(name[i - 1]);
        char c = name[i];

        apart = apart || c == '-' || c == ' ' || (first && islower(c));
        small = small || islower(c);
        large = large || (isupper(c) && !first);
        out += parts_names(c) ? '_' : static_cast<char>(first ? toupper(c) : tolower(c));
    }
    return apart || (large && !small) ? out : name;
}

static std::string property_name(const std::string &name)
{
    std::string plain;

    for (char c : name)
        if (!parts_names(c))
            plain += static_cast<char>(tolower(c));
    for (const auto &c : categories)
        if (plain == c.also || (*c.too && plain == c.too) || strcasecmp(plain.c_str(), c.name) == 0)
            return c.name;
    return script_name(name);
}

namespace
{

class translator
{
  public:
    translator(const char *pattern, struct regex_dialect *out_, struct err *err_)
        : p(pattern), out(out_), err(err_)
    {
    }

    bool run()
    {
        while (at < p.size())
            if (!step())
                return false;
        return true;
    }

  private:
    const std::string p;
    struct regex_dialect *out;
    struct err *err;
    size_t at = 0;
    std::string groups; /* that are open: 'c' captures, '-' not */
    size_t captures = 0;

    bool refuse(const char *what, size_t from, size_t n)
    {
        err_set(err, "error parsing regexp: %s: `%s`", what, p.substr(from, n).c_str());
        return false;
    }

    void copy_to(size_t end)
    {
        end = end < p.size() ? end : p.size();
        out->text.append(p, at, end - at);
        at = end;
    }

    bool step()
    {
        switch (p[at]) {
        case '\\':
            return p.compare(at, 2, "\\Q") == 0 ? quotation() : escape(false);
        case '[':
            return char_class();
        case '(':
            return group();
        case ')':
            if (!groups.empty()) {
                captures -= groups.back() == 'c';
                groups.pop_back();
            }
            break;
        default:
            break;
        }
        copy_to(at + 1);
        return true;
    }

    bool quotation()
    {
        size_t end = p.find("\\E", at + 2);

        copy_to(end == p.npos ? p.size() : end + 2);
        return true;
    }

    bool escape(bool in_class)
    {
        char c = at + 1 < p.size() ? p[at + 1] : '\0';

        if (c == 'C')
            return refuse("invalid escape sequence", at, 2);
        if (c == 'p' || c == 'P')
            return property(in_class);
        out->splits_chars = out->splits_chars || c == 'B';
        copy_to(at + 2);
        return true;
    }

    /* \pL, \p{Greek}, \P{^greek} */
    bool property(bool in_class)
    {
        bool braces = at + 2 < p.size() && p[at + 2] == '{';
        size_t from = at + 2 + braces, end = braces ? p.find('}', from) : from + 1;
        bool caret = braces && from < p.size() && p[from] == '^';
        std::string name;

        if (end == p.npos || end > p.size()) {
            copy_to(p.size());
            return true;
        }
        name = p.substr(from + caret, end - from - caret);
        if (strcasecmp(name.c_str(), "ascii") == 0) {
            const char *ascii = (p[at + 1] == 'P') != caret ? "[:^ascii:]" : "[:ascii:]";

            out->text += in_class ? ascii : std::string("[") + ascii + "]";
        } else {
            out->text.append(p, at, 2);
            out->text += std::string("{") + (caret ? "^" : "") + property_name(name) + "}";
        }
        at = end + braces;
        return true;
    }

    bool char_class()
    {
        size_t end = regex_class_end(p, at);

        copy_to(at + 1);
        while (at < p.size() && at + 1 < end) {
            if (p.compare(at, 2, "[:") == 0 && p.find(":]", at) != p.npos)
                copy_to(p.find(":]", at) + 2);
            else if (p[at] != '\\')
                copy_to(at + 1);
            else if (!escape(true))
                return false;
        }
        copy_to(at + 1);
        return true;
    }

    bool group()
    {
        bool flags = p.compare(at, 2, "(?") == 0, goes = p.compare(at, 4, "(?P<") == 0;
        bool go_name = p.compare(at, 3, "(?<") == 0 && p.compare(at, 4, "(?<=") != 0 &&
                       p.compare(at, 4, "(?<!") != 0;

        if ((goes || go_name) && !good_name(at + (goes ? 4 : 3)))
            return false;
        groups += !flags || goes || go_name ? 'c' : '-';
        captures += groups.back() == 'c';
        if (captures > most_nested)
            return refuse("expression nests too deeply", 0, 60);
        copy_to(at + (flags ? 2 : 1));
        if (go_name)
            out->text += 'P';
        return true;
    }

    bool good_name(size_t from)
    {
        size_t end = p.find('>', from);

        for (size_t i = from; end != p.npos && i < end; i++)
            if (!isalnum(static_cast<unsigned char>(p[i])) && p[i] != '_')
                return refuse("invalid named capture", at, end + 1 - at);
        return true;
    }
};

} // namespace

bool regex_translate(const char *pattern, struct regex_dialect *out, struct err *err)
{
    return translator(pattern, out, err).run();
}
