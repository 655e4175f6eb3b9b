# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes a page of section 3 from a public header and from the part of the page
# that is written by hand:
#
#	awk -f man/header.awk -f man/page.awk \
#		include/peal/ring.h include/peal/end.h man/peal_ring.3.in
#
# The last file is mdoc. In it, the line .\" @names stands for the names of the
# functions, .\" @synopsis for their declarations, .\" @overview for the comment
# with @file at the head of the header, and .\" @reference for the sections
# TYPES, CONSTANTS, FUNCTIONS and RETURN VALUES. What stands behind "Caveats" in
# the comment with @file goes to the section CAVEATS. Of a second header the
# types alone are shown.
#
# What a comment needs:
#
#	/**
#	 * A text. A line that begins with "- " is an item of a list, and its
#	 * next lines are indented. A line that begins with a tab is code.
#	 * @param name  a text, the next lines of which are indented
#	 * @return      likewise; values may follow, one to a line:
#	 *	-EINVAL   a text, the next lines of which are indented
#	 * More text, which is not indented.
#	 */
#
# The declaration follows the comment. A struct or enum is shown as it stands,
# without the members whose comment begins with "private", and without all that
# follows a comment that begins with "private from here". Of a type whose
# comment says that it is private the comment alone is shown; a type whose
# comment ends with "Private." is left out. A line /* -- title */ begins a group
# of functions; if the title begins with "private", so are the types below it.
# In a text a function has its parentheses, a header its .h, and a parameter or
# a member stands in backticks, where it is to be marked up.
#
# The comment of a macro with any number of arguments has a line of code that
# shows the call.
#
# Mistakes in a header are told on standard error: a function that has no
# comment, and a @param that the function does not have.

# -- text as mdoc

function escaped(s) {
	gsub(/\\/, "\\e", s)
	return s
}

function flush_line() {
	if (out ~ /^[.']/)
		out = "\\&" out
	if (out != "")
		print out
	out = ""
}

# The punctuation before and behind a macro is arguments of it.
function punctuation(s,    i, c, all) {
	all = ""
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		all = all " " (c == "\"" ? "\\(dq" : c)
	}
	return all
}

# The macro that marks up a word, with its arguments, or "".
function macro_for(word,    name) {
	name = word
	sub(/\(.*/, "", name)
	if (word ~ /^[a-z_][a-z0-9_]*\(\)$/ || word ~ /^PEAL_[A-Z0-9_]+\(\)$/)
		return "Fn " name
	if (word ~ /^PEAL_[A-Z0-9_]+\([a-z]+\)$/)
		return "Fn " name " " substr(word, length(name) + 2, \
			length(word) - length(name) - 2)
	if (word ~ /^[a-z_][a-z0-9_]*\([1-8]\)$/)
		return "Xr " name " " substr(word, length(name) + 2, 1)
	if (word ~ /^-E[A-Z0-9]+$/)
		return "No \\- Ns Er " substr(word, 2)
	if (word ~ /^[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]$/ ||
	    word ~ /^(NULL|EPOLL[A-Z]+|POLL[A-Z]+|SIG[A-Z]+)$/)
		return "Dv " word
	if (word ~ /^`[^`]+`$/)
		return "Fa " substr(word, 2, length(word) - 2)
	if (word ~ /^[a-z_]+->[a-z_.]*[a-z]$/)
		return "Fa " word
	if (word ~ /^[a-z]+\.h$/ && word != "end.h")
		return "Xr peal_" substr(word, 1, length(word) - 2) " 3"
	return ""
}

function put_plain(word) {
	word = escaped(word)
	if (word ~ /^["(]*-[0-9]/)
		sub(/-/, "\\-", word)
	if (out != "" && length(out) + 1 + length(word) > 78)
		flush_line()
	out = out (out == "" ? "" : " ") word
}

function put_word(word,    before, core, behind, macro) {
	core = word
	before = behind = ""
	if (match(core, /^["(]+/)) {
		before = substr(core, 1, RLENGTH)
		core = substr(core, RLENGTH + 1)
	}
	if (match(core, /[].,:;?!)"]+$/)) {
		behind = substr(core, RSTART)
		core = substr(core, 1, RSTART - 1)
	}
	# The parenthesis of a call is no punctuation.
	if (behind ~ /^\)/ && core ~ /\([0-9a-z]*$/) {
		core = core ")"
		behind = substr(behind, 2)
	}
	macro = macro_for(core)
	if (macro == "") {
		put_plain(word)
		return
	}
	flush_line()
	gsub(/"/, "\\(dq", before)
	print "." (before == "" ? "" : "Pf " before " ") macro \
		punctuation(behind)
}

# Words that are marked up stand on their own lines. A sentence begins a line.
function flow(s,    n, word, i) {
	n = split(trimmed(s), word, /[ \t\n]+/)
	for (i = 1; i <= n; i++) {
		put_word(word[i])
		if (word[i] ~ /[.?!][)"]?$/ && word[i + 1] ~ /^[A-Z("`]/)
			flush_line()
	}
	flush_line()
}

function spaces(n,    s) {
	for (s = ""; n > 0; n--)
		s = s " "
	return s
}

function expanded(s,    i) {
	while ((i = index(s, "\t")) > 0)
		s = substr(s, 1, i - 1) spaces(8 - (i - 1) % 8) \
			substr(s, i + 1)
	return s
}

function put_literal(s) {
	s = escaped(s)
	if (s ~ /^[.']/)
		s = "\\&" s
	print s
}

# -- a comment

function end_text() {
	if (text != "" && need_pp)
		print ".Pp"
	if (text != "")
		need_pp = 0
	flow(text)
	text = ""
}

function end_list() {
	end_text()
	if (list != "")
		print (list == "code" ? ".Ed" : ".El")
	list = ""
}

function begin_list(kind) {
	end_text()
	if (list == kind)
		return
	end_list()
	if (kind == "bullet")
		print ".Bl -bullet"
	else if (kind == "value")
		print ".Bl -tag -width Er"
	else
		print ".Bd -literal"
	list = kind
	need_pp = 0
}

# A value is what stands before two blanks, or else the first word.
function begin_value(s,    n, word, i, items) {
	begin_list("value")
	s = trimmed(s)
	if (!match(s, /  +/) && (s ~ /^[^ ]*,/ || !match(s, / /))) {
		RSTART = length(s) + 1
		RLENGTH = 0
	}
	text = substr(s, RSTART + RLENGTH)
	n = split(substr(s, 1, RSTART - 1), word, /, */)
	items = ""
	for (i = 1; i <= n; i++)
		items = items (i > 1 ? " , No " : " ") \
			(word[i] !~ /^-E/ ? escaped(word[i]) : \
			 (i > 1 ? "" : "No ") "\\- Ns Er " substr(word[i], 2))
	print ".It" items
}

function begin_section(title) {
	end_list()
	print ".Ss " title
	need_pp = 0
}

# A blank line ends a list that does not go on behind it.
function put_blank(next_line) {
	if (list == "code" && next_line ~ /^\t/) {
		print ""
		return
	}
	if (list != "" && next_line !~ /^(- |  )/)
		end_list()
	end_text()
	need_pp = 1
}

function put_line(s, next_line) {
	if (s == "") {
		put_blank(next_line)
	} else if (s ~ /^[A-Z][A-Za-z ]*$/ && next_line ~ /^- /) {
		begin_section(s)
	} else if (s ~ /^- /) {
		begin_list("bullet")
		print ".It"
		text = substr(s, 3)
	} else if (s ~ /^\t(-E[A-Z0-9]+|0|1)( |,|$)/ ||
		   s ~ /^[A-Z_]+(\([a-z]\))?  +[^ ]/) {
		begin_value(s)
	} else if (s ~ /^\t/ && list != "value") {
		begin_list("code")
		put_literal(substr(s, 2))
	} else {
		if (list != "" && s !~ /^(  |\t)/)
			end_list()
		text = text " " trimmed(s)
	}
}

function put_prose(s,    n, line, i) {
	n = split(s, line, "\n")
	text = list = ""
	need_pp = 0
	for (i = 1; i <= n; i++)
		put_line(line[i], line[i + 1])
	end_list()
}

# -- the comment of a function

function add_block(kind, s) {
	block_kind[++n_blocks] = kind
	block[n_blocks] = s
}

# Cuts a comment into blocks: of text, of one parameter, of what is returned.
function cut(s,    n, line, i, kind) {
	n_blocks = 0
	kind = ""
	# A text, then @return, on one line.
	if (match(s, / @return /)) {
		add_block("text", substr(s, 1, RSTART - 1))
		s = substr(s, RSTART + 1)
		gsub(/\n/, "\n  ", s)
	}
	n = split(s, line, "\n")
	for (i = 1; i <= n; i++) {
		s = line[i]
		if (s ~ /^@(param|return) /) {
			kind = s ~ /^@p/ ? "param" : "return"
			sub(/^@[a-z]+ +/, "", s)
			add_block(kind, s)
		} else if (kind == "" || kind != "text" && s !~ /^[ \t]/) {
			kind = "text"
			add_block(kind, s)
		} else
			block[n_blocks] = block[n_blocks] "\n" s
	}
}

function put_return(s) {
	gsub(/\n +/, "\n", s)
	put_prose("Returns " s (s !~ /\n\t/ && s !~ /[.:]$/ ? "." : ""))
}

# Parameters i to n
function put_parameters(i, n,    j, name, width) {
	width = ""
	for (j = i; j <= n; j++) {
		name = block[j]
		sub(/[ \t].*/, "", name)
		if (length(name) > length(width))
			width = name
	}
	print ".Bl -tag -compact -width " width
	for (j = i; j <= n; j++) {
		name = block[j]
		sub(/[ \t\n].*/, "", name)
		print ".It Fa " name
		flow(substr(block[j], length(name) + 1))
	}
	print ".El"
}

function put_blocks(    i, first) {
	for (i = 1; i <= n_blocks; i++) {
		sub(/^\n+/, "", block[i])
		if (i > 1 && block[i] !~ /^\t/)
			print ".Pp"
		first = i
		while (block_kind[first] == "param" && i < n_blocks &&
		       block_kind[i + 1] == "param")
			i++
		if (block_kind[first] == "param")
			put_parameters(first, i)
		else if (block_kind[first] == "return")
			put_return(block[i])
		else
			put_prose(block[i])
	}
}

# -- the parts of a page

function put_names(    i) {
	for (i = 1; i <= n_functions; i++)
		print ".Nm " function_name[i] (i < n_functions ? " ," : "")
}

function quoted(s) {
	return s ~ / / ? "\"" s "\"" : s
}

function put_declaration(i,    n, part, j, line) {
	n = split_arguments(function_arguments[i], part)
	if (function_type[i] != "")
		print ".Ft " function_type[i]
	line = ".Fn " function_name[i]
	for (j = 1; j <= n; j++)
		line = line " " quoted(part[j])
	if (length(line) <= 78) {
		print line
		return
	}
	print ".Fo " function_name[i]
	for (j = 1; j <= n; j++)
		print ".Fa " quoted(part[j])
	print ".Fc"
}

function put_synopsis(    i) {
	print ".In " substr(header, 9)
	for (i = 1; i <= n_functions; i++) {
		if (function_group[i] != function_group[i - 1])
			print ".Ss " function_group[i]
		put_declaration(i)
	}
}

function put_body(name, body,    n, line, i) {
	print ".Bd -literal"
	print name " {"
	n = split(body, line, "\n")
	for (i = 1; i < n; i++) {
		gsub(/\/\*\*<? /, "/* ", line[i])
		sub(/\/\*\*$/, "/*", line[i])
		sub(/ __attribute__\(\([^;]*\)\);/, ";", line[i])
		line[i] = expanded(line[i])
		# A page is indented itself.
		sub(/^        /, "    ", line[i])
		put_literal(line[i])
	}
	print "};"
	print ".Ed"
}

function put_types(    i) {
	if (n_types > 0)
		print ".Sh TYPES"
	for (i = 1; i <= n_types; i++) {
		print ".Ss " type_name[i]
		put_prose(type_doc[i])
		if (type_body[i] != "")
			put_body(type_name[i], type_body[i])
	}
}

function put_constants(    i, items) {
	if (n_macros == 0)
		return
	print ".Sh CONSTANTS"
	print ".Bl -tag -width Ds"
	for (i = 1; i <= n_macros; i++) {
		items = macro_arguments[i]
		gsub(/,/, "", items)
		print ".It " (items == "" ? "Dv " : "Fn ") macro_name[i] \
			(items == "" ? "" : " " items)
		# The last of several has the comment of all.
		if (i < n_macros && macro_doc[i + 1] == "")
			macro_doc[i + 1] = macro_doc[i]
		else
			put_prose(macro_doc[i])
	}
	print ".El"
}

function put_functions(    i) {
	print ".Sh FUNCTIONS"
	for (i = 1; i <= n_functions; i++) {
		print ".Ss " function_name[i]
		cut(function_doc[i])
		put_blocks()
	}
	print ".Sh RETURN VALUES"
	flow("Each function says above what it returns. An error is a " \
	     "negative number, such as -EINVAL; no function uses")
	print ".Va errno ."
}

function put_reference() {
	put_types()
	put_constants()
	put_functions()
}

# What stands behind "Caveats" in the comment with @file.
function has_caveats() {
	return match("\n" overview, /\nCaveats(:|\n)/)
}

function put_caveats(    s) {
	has_caveats()
	s = substr(overview, RSTART + length("Caveats"))
	sub(/^[:\n] */, "", s)
	put_prose(toupper(substr(s, 1, 1)) substr(s, 2))
}

function put_overview() {
	put_prose(has_caveats() ? substr(overview, 1, RSTART - 1) : overview)
}

# -- the files

FNR == 1 && !header {
	header = FILENAME
	sub(/.*include\//, "include/", header)
}
FILENAME ~ /\.h$/ { header_line($0); next }
FNR == 2 { print ".\\\" Made by man/page.awk from " header "." }
/^\.\\" @names$/ { put_names(); next }
/^\.\\" @synopsis$/ { put_synopsis(); next }
/^\.\\" @overview$/ { put_overview(); next }
/^\.\\" @reference$/ { put_reference(); next }
{ print }
/^\.Sh CAVEATS$/ && has_caveats() { put_caveats(); print ".Pp"; overview = "" }
END {
	if (has_caveats()) {
		print ".Sh CAVEATS"
		put_caveats()
	}
}
