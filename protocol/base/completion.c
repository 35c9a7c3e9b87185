#include "protocol/base/completion.h"

#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/options.h"

/* A single quote inside single quotes. */
#define ZSH_QUOTE  "'\\''"
#define FISH_QUOTE "\\'"

enum value_kind { VALUE_NONE, VALUE_ANY, VALUE_FILE, VALUE_FOLDER, VALUE_WORDS };

static enum value_kind kind_of(const struct option *option)
{
    if (option->argument == NULL)
        return VALUE_NONE;
    if (strchr(option->argument, '|') != NULL)
        return VALUE_WORDS;
    if (strcmp(option->argument, "DIR") == 0)
        return VALUE_FOLDER;
    return strcmp(option->argument, "FILE") == 0 || strcmp(option->argument, "PATH") == 0 ? VALUE_FILE : VALUE_ANY;
}

/* "a|b|c", also "[=a|b|c]", with spaces between the words. */
static void print_words(const char *words, FILE *out)
{
    for (words += strspn(words, "[="); *words != '\0' && *words != ']'; words++)
        putc(*words == '|' ? ' ' : *words, out);
}

/* The text between single quotes: characters of special behind a backslash, a quote as quote says, a newline as a space. */
static void print_quoted(const char *text, const char *special, const char *quote, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs(quote, out);
            continue;
        }
        if (strchr(special, *text) != NULL)
            putc('\\', out);
        putc(*text == '\n' ? ' ' : *text, out);
    }
}

/* Whether a name of an option is one that people type at a prompt: "-?" is a pattern there. */
static int is_typed(const char *name)
{
    return strcmp(name, "-?") != 0;
}

/* ---- bash ---- */

/* The names of the options of that kind, with between between them. Returns how many. */
static int print_names(const struct option *options, int kind, const char *between, FILE *out)
{
    char name[OPTION_NAME_MAX];
    int count = 0;

    for (; options->name != NULL; options++) {
        for (int i = 0; (kind < 0 || kind == (int)kind_of(options)) && option_name(options, i, name); i++) {
            if (is_typed(name))
                fprintf(out, "%s%s", count++ > 0 ? between : "", name);
        }
    }
    return count;
}

static int has_kind(const struct option *options, enum value_kind kind)
{
    while (options->name != NULL && kind_of(options) != kind)
        options++;
    return options->name != NULL;
}

/* One arm of "case $command": what follows the option in $option, which options there are, what the arguments can be. */
static void print_bash_command(const struct completion_command *command, FILE *out)
{
    static const char *const kinds[] = {[VALUE_ANY] = "value=any", [VALUE_FILE] = "value=file", [VALUE_FOLDER] = "value=folder"};

    fprintf(out, "    %s)\n        case $option in\n", command->name[0] != '\0' ? command->name : "*");
    for (int kind = VALUE_ANY; kind <= VALUE_FOLDER; kind++) {
        if (!has_kind(command->options, (enum value_kind)kind))
            continue;
        fputs("        ", out);
        print_names(command->options, kind, "|", out);
        fprintf(out, ") %s ;;\n", kinds[kind]);
    }
    for (const struct option *option = command->options; option->name != NULL; option++) {
        const struct option alone[] = {*option, {NULL, NULL, NULL, NULL, 0}};
        if (kind_of(option) != VALUE_WORDS)
            continue;
        fputs("        ", out);
        print_names(alone, VALUE_WORDS, "|", out);
        /* A value that may be left out stands behind "=" only. */
        fprintf(out, ") %svalue=words words='", option->argument[0] == '[' ? "[ \"$equals\" = 1 ] && " : "");
        print_words(option->argument, out);
        fputs("' ;;\n", out);
    }
    fputs("        esac\n        options='", out);
    print_names(command->options, -1, " ", out);
    fputs("'\n", out);
    if (command->words != NULL) {
        fputs("        first='", out);
        print_words(command->words, out);
        fputs("'\n", out);
    }
    if (command->takes_job)
        fputs("        job=1\n", out);
    fputs("        ;;\n", out);
}

static void print_bash_names(const struct completion *completion, FILE *out)
{
    for (size_t i = 0; i < completion->count; i++)
        fprintf(out, "%s%s", i > 0 ? " " : "", completion->commands[i].name);
}

static void print_function_name(const char *program, FILE *out)
{
    putc('_', out);
    for (; *program != '\0'; program++)
        putc(*program == '-' ? '_' : *program, out);
}

static void print_bash(const struct completion *completion, FILE *out)
{
    fprintf(out, "# bash completion of %s; printed by `%s completion bash`\n", completion->program, completion->program);
    print_function_name(completion->program, out);
    fputs("()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
          "    local commands='",
          out);
    print_bash_names(completion, out);
    fputs("' options= first= words= value= job= equals= i\n"
          "    COMPREPLY=()\n"
          "    # bash takes --name=value for three words\n"
          "    if [ \"$cur\" = = ]; then\n"
          "        cur= equals=1\n"
          "    elif [ \"$option\" = = ]; then\n"
          "        option=${COMP_WORDS[COMP_CWORD-2]} equals=1\n"
          "    fi\n"
          "    [ \"$COMP_CWORD\" -gt 1 ] || command=\n"
          "    case $command in\n",
          out);
    for (size_t i = 0; i < completion->count; i++) {
        if (completion->commands[i].name[0] != '\0')
            print_bash_command(&completion->commands[i], out);
    }
    for (size_t i = 0; i < completion->count; i++) {
        if (completion->commands[i].name[0] == '\0')
            print_bash_command(&completion->commands[i], out);
    }
    fputs("    esac\n"
          "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
          "        [ \"${COMP_WORDS[i]}\" = -- ] || continue\n"
          "        [ -n \"$job\" ] || return\n"
          "        if declare -F _command_offset >/dev/null; then\n"
          "            _command_offset $((i + 1))\n"
          "        elif [ $((i + 1)) -eq \"$COMP_CWORD\" ]; then\n"
          "            COMPREPLY=($(compgen -c -- \"$cur\"))\n"
          "        fi\n"
          "        return\n"
          "    done\n"
          "    case $value in\n"
          "    any) compopt +o default ;;\n"
          "    folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
          "    words) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
          "    file) ;; # an empty list is completed by file names\n"
          "    *)\n"
          "        if [ \"${cur:0:1}\" = - ]; then\n"
          "            COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
          "        elif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "            COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n"
          "        elif [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"$first\" ]; then\n"
          "            COMPREPLY=($(compgen -W \"$first\" -- \"$cur\"))\n"
          "        fi\n"
          "        ;;\n"
          "    esac\n"
          "}\n"
          "complete -o default -F ",
          out);
    print_function_name(completion->program, out);
    fprintf(out, " %s\n", completion->program);
}

/* ---- zsh ---- */

/* What _arguments is told of one name of an option: '(-p --port)--port=[TCP port]:PORT:' */
static void print_zsh_option(const struct option *option, const char *name, FILE *out)
{
    int is_long = name[1] == '-';
    char other[OPTION_NAME_MAX];
    int is_optional = option->argument != NULL && option->argument[0] == '[';

    fputs("            '", out);
    if (option->flags & OPTION_REPEATS) {
        putc('*', out);
    } else {
        putc('(', out);
        for (int i = 0; option_name(option, i, other); i++)
            fprintf(out, "%s%s", i > 0 ? " " : "", other);
        putc(')', out);
    }
    fprintf(out, "%s%s[", name, is_long && option->argument != NULL ? is_optional ? "=-" : "=" : "");
    print_quoted(option->help, "[]", ZSH_QUOTE, out);
    putc(']', out);
    if (option->argument != NULL) {
        fputs(is_optional ? "::" : ":", out);
        print_quoted(kind_of(option) == VALUE_WORDS ? "one of" : option->argument, ":", ZSH_QUOTE, out);
        putc(':', out);
    }
    switch (kind_of(option)) {
    case VALUE_FILE:
        fputs("_files", out);
        break;
    case VALUE_FOLDER:
        fputs("_files -/", out);
        break;
    case VALUE_WORDS:
        putc('(', out);
        print_words(option->argument, out);
        putc(')', out);
        break;
    default:
        break;
    }
    fputs("' \\\n", out);
}

static void print_zsh_command(const struct completion_command *command, FILE *out)
{
    char name[OPTION_NAME_MAX];

    fprintf(out, "    %s)\n", command->name[0] != '\0' ? command->name : "*");
    if (command->takes_job)
        fputs("        at=${words[(i)--]}\n"
              "        if (( at < CURRENT )); then\n"
              "            shift $at words\n"
              "            (( CURRENT -= at ))\n"
              "            _normal\n"
              "            return\n"
              "        fi\n",
              out);
    fputs("        _arguments -S \\\n", out);
    for (const struct option *option = command->options; option->name != NULL; option++) {
        for (int i = 0; option_name(option, i, name); i++) {
            if (is_typed(name))
                print_zsh_option(option, name, out);
        }
    }
    if (command->words != NULL) {
        fputs("            '1:what:(", out);
        print_words(command->words, out);
        fputs(")' \\\n", out);
    }
    fputs("            '*:file:_files'\n        ;;\n", out);
}

static void print_zsh(const struct completion *completion, FILE *out)
{
    fprintf(out, "#compdef %s\n# zsh completion of %s; printed by `%s completion zsh`\n", completion->program, completion->program,
            completion->program);
    print_function_name(completion->program, out);
    fputs("()\n{\n    local -a verbs # zsh has an array of all commands\n    local -i at\n    verbs=(\n", out);
    for (size_t i = 0; i < completion->count; i++) {
        if (completion->commands[i].name[0] == '\0')
            continue;
        fprintf(out, "        '%s:", completion->commands[i].name);
        print_quoted(completion->commands[i].summary, "", ZSH_QUOTE, out);
        fputs("'\n", out);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
          "        _describe -t commands command verbs\n"
          "        _files\n"
          "        return\n"
          "    fi\n"
          "    if (( $verbs[(I)$words[2]:*] )); then\n"
          "        shift words\n"
          "        (( CURRENT-- ))\n"
          "    fi\n"
          "    case $words[1] in\n",
          out);
    for (size_t i = 0; i < completion->count; i++) {
        if (completion->commands[i].name[0] != '\0')
            print_zsh_command(&completion->commands[i], out);
    }
    for (size_t i = 0; i < completion->count; i++) {
        if (completion->commands[i].name[0] == '\0')
            print_zsh_command(&completion->commands[i], out);
    }
    fputs("    esac\n}\n", out);
    /* Autoloaded, the file is the function's body; sourced, it registers the function. */
    fputs("if [ \"$funcstack[1]\" = ", out);
    print_function_name(completion->program, out);
    fputs(" ]; then\n    ", out);
    print_function_name(completion->program, out);
    fputs(" \"$@\"\nelse\n    compdef ", out);
    print_function_name(completion->program, out);
    fprintf(out, " %s\nfi\n", completion->program);
}

/* ---- fish ---- */

static void print_fish_option(const struct completion *completion, const struct completion_command *command,
                              const struct option *option, FILE *out)
{
    char name[OPTION_NAME_MAX];

    fprintf(out, "complete -c %s -n '%s%s'", completion->program,
            command->name[0] != '\0' ? "__fish_seen_subcommand_from " : "__fish_use_subcommand", command->name);
    for (int i = 0; option_name(option, i, name); i++) {
        if (is_typed(name))
            fprintf(out, " -%c %s", name[1] == '-' ? 'l' : 's', name + (name[1] == '-' ? 2 : 1));
    }
    switch (kind_of(option)) {
    case VALUE_NONE:
        break;
    case VALUE_ANY:
        fputs(" -x", out);
        break;
    case VALUE_FILE:
        fputs(" -r -F", out);
        break;
    case VALUE_FOLDER:
        fputs(" -x -a '(__fish_complete_directories)'", out);
        break;
    case VALUE_WORDS:
        fputs(option->argument[0] == '[' ? " -f -a '" : " -x -a '", out);
        print_words(option->argument, out);
        putc('\'', out);
        break;
    }
    fputs(" -d '", out);
    print_quoted(option->help, "\\", FISH_QUOTE, out);
    fputs("'\n", out);
}

static void print_fish(const struct completion *completion, FILE *out)
{
    fprintf(out, "# fish completion of %s; printed by `%s completion fish`\n", completion->program, completion->program);
    for (size_t i = 0; i < completion->count; i++) {
        const struct completion_command *command = &completion->commands[i];
        if (command->name[0] != '\0') {
            fprintf(out, "complete -c %s -n __fish_use_subcommand -a %s -d '", completion->program, command->name);
            print_quoted(command->summary, "\\", FISH_QUOTE, out);
            fputs("'\n", out);
        }
        if (command->words != NULL) {
            fprintf(out, "complete -c %s -f -n '__fish_seen_subcommand_from %s; and test (count (commandline -opc)) -eq 2' -a '",
                    completion->program, command->name);
            print_words(command->words, out);
            fputs("'\n", out);
        }
        for (const struct option *option = command->options; option->name != NULL; option++)
            print_fish_option(completion, command, option, out);
    }
}

int completion_print(const struct completion *completion, const char *shell, FILE *out, struct error *error)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(completion, out);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(completion, out);
    else if (strcmp(shell, "fish") == 0)
        print_fish(completion, out);
    else
        return error_set(error, ERR_USAGE, "there is no completion for \"%s\"; say one of bash, zsh, fish", shell);
    return 0;
}
