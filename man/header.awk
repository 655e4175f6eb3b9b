# SPDX-License-Identifier: MIT OR Apache-2.0
# Reads the public headers for man/page.awk, which says what a comment needs.

function complain(mistake) {
	printf "%s:%d: %s\n", FILENAME, FNR, mistake >"/dev/stderr"
}

function trimmed(s) {
	sub(/^[ \t]+/, "", s)
	sub(/[ \t]+$/, "", s)
	return s
}

# -- comments

function begin_comment(s,    last) {
	last = s ~ /\*\/$/
	sub(/^\/\*\* */, "", s)
	sub(/ *\*\/$/, "", s)
	doc = s
	macro_goes_on = 0
	mode = "comment"
	if (last)
		end_comment()
}

# A line keeps the tab that makes it code.
function comment_line(s,    last) {
	last = s ~ /\*\/$/
	sub(/ *\*\/$/, "", s)
	sub(/^ \* ?/, "", s)
	sub(/[ \t]+$/, "", s)
	doc = doc "\n" s
	if (last)
		end_comment()
}

function end_comment() {
	mode = ""
	sub(/^\n+/, "", doc)
	sub(/\n+$/, "", doc)
	if (doc !~ /^@file/)
		return
	sub(/^@file[ \n]*/, "", doc)
	if (n_headers == 1)
		overview = doc
	doc = ""
}

# -- functions, and macros with documented parameters

# Splits at commas outside of parentheses.
function split_arguments(all, part,    n, depth, i, c) {
	n = 1
	part[1] = ""
	depth = 0
	for (i = 1; i <= length(all); i++) {
		c = substr(all, i, 1)
		if (c == "(")
			depth++
		else if (c == ")")
			depth--
		if (c == "," && depth == 0)
			part[++n] = ""
		else
			part[n] = part[n] c
	}
	for (i = 1; i <= n; i++)
		part[i] = trimmed(part[i])
	return n
}

function argument_name(argument) {
	if (match(argument, /\(\*[a-z_]+\)/))
		return substr(argument, RSTART + 2, RLENGTH - 3)
	sub(/\[.*/, "", argument)
	sub(/.*[ *]/, "", argument)
	sub(/_$/, "", argument)
	return argument
}

function check_parameters(name, arguments,    n, part, i, known, line) {
	known = " "
	n = split_arguments(arguments, part)
	for (i = 1; i <= n; i++)
		known = known argument_name(part[i]) " "
	n = split(doc, line, "\n")
	for (i = 1; i <= n; i++) {
		if (line[i] !~ /^@param /)
			continue
		split(line[i], part, " ")
		if (index(known, " " part[2] " ") == 0)
			complain(name "() has no parameter " part[2])
	}
}

function add_function(name, type, arguments,    i) {
	if (n_headers > 1)
		return
	i = ++n_functions
	function_name[i] = name
	function_type[i] = type
	function_arguments[i] = arguments
	function_doc[i] = doc
	function_group[i] = group
	if (doc == "")
		complain(name "() has no comment")
	check_parameters(name, arguments)
	doc = ""
}

function declaration_line(s) {
	declaration = declaration " " s
	mode = "declaration"
	if (s ~ /;[ \t]*$/) {
		end_declaration(declaration)
		mode = ""
	} else if (s ~ /\{$/) {
		sub(/[ \t]*\{$/, "", declaration)
		end_declaration(declaration)
		mode = "body"
	}
}

function end_declaration(s,    name, at, arguments) {
	declaration = ""
	gsub(/[ \t]+/, " ", s)
	s = trimmed(s)
	sub(/^static inline /, "", s)
	sub(/ *__attribute__ *\(.*/, "", s)
	name = s
	sub(/\(.*/, "", name)
	sub(/.*[ *]/, "", name)
	at = index(s, name "(")
	arguments = substr(s, at + length(name) + 1)
	sub(/\)[^)]*$/, "", arguments)
	add_function(name, trimmed(substr(s, 1, at - 1)), arguments)
}

# -- macros

# The arguments of a macro that takes any: a line of its comment shows the call.
function call_of(name,    n, line, i, arguments) {
	n = split(doc, line, "\n")
	doc = arguments = ""
	for (i = 1; i <= n; i++)
		if (index(line[i], "\t" name "(") == 1) {
			arguments = substr(line[i], length(name) + 3)
			sub(/\).*/, "", arguments)
		} else
			doc = doc (i > 1 ? "\n" : "") line[i]
	return arguments
}

# Macros that follow each other have one comment.
function add_macro(s,    name, arguments) {
	mode = s ~ /\\$/ ? "macro" : ""
	sub(/^#define /, "", s)
	match(s, /^[A-Za-z0-9_]+/)
	name = substr(s, 1, RLENGTH)
	arguments = ""
	if (substr(s, RLENGTH + 1, 1) == "(") {
		arguments = substr(s, RLENGTH + 2)
		sub(/\).*/, "", arguments)
	}
	if (arguments ~ /\.\.\./)
		arguments = call_of(name)
	if (doc ~ /@param/) {
		gsub(/_(,|$)/, "&,", arguments)
		gsub(/_,+/, ",", arguments)
		sub(/,$/, "", arguments)
		add_function(name, "", arguments)
		return
	}
	if (n_headers > 1 || name !~ /^PEAL_/ || doc == "" && !macro_goes_on)
		return
	macro_name[++n_macros] = name
	macro_arguments[n_macros] = arguments
	macro_doc[n_macros] = doc
	macro_goes_on = 1
	doc = ""
}

# -- types

function begin_type(s) {
	mode = "body"
	if (n_headers > 1 && (doc ~ /[Pp]rivate/ || group ~ /^Private/))
		doc = ""
	if (doc != "" && doc !~ /(^|[ \n])Private\.$/) {
		sub(/ \{$/, "", s)
		type_name[++n_types] = s
		type_doc[n_types] = doc
		type_body[n_types] = ""
		# Of a private one nothing but the comment is shown.
		if (doc !~ /[Pp]rivate/ && group !~ /^Private/)
			mode = "type"
	}
	member = ""
	member_depth = 0
	member_comment = member_whole = type_private = 0
	doc = ""
}

# A member ends where its declaration and the comment behind that have ended.
function type_line(s,    code) {
	if (s ~ /^}/) {
		add_member()
		mode = ""
		return
	}
	if (s ~ /\/\* private from here/)
		type_private = 1
	member = member s "\n"
	code = s
	gsub(/\/\*[^*]*\*+([^*\/][^*]*\*+)*\//, "", code)
	if (member_comment)
		sub(/^.*\*\//, "", code)
	if (member_comment && s !~ /\*\//)
		return
	member_comment = code ~ /\/\*/
	sub(/\/\*.*/, "", code)
	member_depth += gsub(/\{/, "{", code) - gsub(/\}/, "}", code)
	if (code ~ /[;,][ \t]*$/ || s == "")
		member_whole = 1
	if (member_whole && member_depth == 0 && !member_comment)
		add_member()
}

function add_member() {
	if (!type_private && member !~ /\/\*\*?<? *private/)
		type_body[n_types] = type_body[n_types] member
	member = ""
	member_whole = 0
}

# -- a header, line by line

# What follows a semicolon is not part of the title.
function begin_group(s) {
	mode = s ~ /\*\/$/ ? "" : "plain"
	sub(/^\/\* -- /, "", s)
	sub(/( *\*\/|;.*)$/, "", s)
	group = toupper(substr(s, 1, 1)) substr(s, 2)
}

function outside(s) {
	if (s ~ /^\/\*\*( |$)/)
		begin_comment(s)
	else if (s ~ /^\/\* -- /)
		begin_group(s)
	else if (s ~ /^\/\*/)
		mode = s ~ /\*\// ? "" : "plain"
	else if (s ~ /^#define /)
		add_macro(s)
	else if (s ~ /^(struct|enum|union) [a-z_]+ \{$/)
		begin_type(s)
	else if (s ~ /^(struct|enum|union) [a-z_]+;$/ || s ~ /^typedef /)
		doc = ""
	else if (s ~ /^[a-z]/ && s !~ /^extern /)
		declaration_line(s)
	if (s !~ /^#define /)
		macro_goes_on = 0
}

function header_line(s) {
	if (FNR == 1) {
		n_headers++
		mode = doc = group = ""
	}
	if (mode == "comment")
		comment_line(s)
	else if (mode == "declaration")
		declaration_line(s)
	else if (mode == "type")
		type_line(s)
	else if (mode == "plain")
		mode = s ~ /\*\// ? "" : "plain"
	else if (mode == "macro")
		mode = s ~ /\\$/ ? "macro" : ""
	else if (mode == "body")
		mode = s ~ /^}/ ? "" : "body"
	else
		outside(s)
}
