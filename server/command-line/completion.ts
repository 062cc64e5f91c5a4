/**
 * Scripts that complete `lorikeet` in a shell, made from the rows that flags are read by. They hold all that they need: libraries for this (omelette, @pnpm/tabtab, @bomb.sh/tab) start the program
 * at every press of Tab, which takes Node a quarter of a second here, and want flags declared in a parser of theirs, where ours are rows that the environment and the config file share.
 */
import type { Setting } from '../config/setting.ts'
import { COMMANDS, type Command, SHELLS, type Shell } from './commands.ts'

type Values =
  | { kind: 'none' }
  | { kind: 'any' }
  | { kind: 'folder' }
  | { kind: 'file' }
  | { kind: 'words'; words: readonly string[] }

interface Flag {
  /** Without its dashes. */
  name: string
  values: Values
  repeatable: boolean
  help: string
}

export const completionScript = (shell: Shell): string => ({ bash, zsh, fish })[shell]()

function valuesOf({ kind, value, choices }: Setting): Values {
  if (kind === 'flag') return { kind: 'none' }
  if (choices) return { kind: 'words', words: choices }
  return { kind: value === 'DIR' ? 'folder' : value === 'FILE' ? 'file' : 'any' }
}

/** Of a flag without a value, its opposite too. */
function flagsOf({ flags, more = {} }: Command): Flag[] {
  const help: Flag = { name: 'help', values: { kind: 'none' }, repeatable: false, help: 'tell what it does, and its flags' }
  const rows = Object.entries({ ...flags, ...more }).flatMap(([name, setting]): Flag[] => {
    const flag = {
      values: valuesOf(setting),
      repeatable: setting.kind === 'texts' || setting.kind === 'adapters',
      help: setting.help,
    }
    return setting.kind === 'flag'
      ? [
          { ...flag, name },
          { ...flag, name: `no-${name}`, help: `not: ${setting.help}` },
        ]
      : [{ ...flag, name }]
  })
  return [...rows, help]
}

const names = COMMANDS.map(({ name }) => name)
/** In single quotes for a POSIX shell. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

function bash(): string {
  const arms = COMMANDS.flatMap((command) => {
    const flags = flagsOf(command)
    const of = (wanted: Values['kind']) =>
      flags.filter(({ values }) => values.kind === wanted).map(({ name }) => `${quoted(`${command.name} --${name}`)}`)
    const arm = (patterns: string[], action: string) =>
      patterns.length === 0 ? [] : [`    ${patterns.join('|')})\n      ${action}\n      return ;;`]
    const words = flags.flatMap(({ name, values }) =>
      values.kind === 'words'
        ? arm([quoted(`${command.name} --${name}`)], `_lorikeet_words ${quoted(values.words.join(' '))}`)
        : [],
    )
    return [
      ...arm(of('folder'), '_lorikeet_paths -d'),
      ...arm(of('file'), '_lorikeet_paths -f'),
      ...words,
      ...arm(of('any'), ':'),
    ]
  })
  const commands = COMMANDS.map((command) => {
    const { name, positional } = command
    const flags = flagsOf(command).map((flag) => `--${flag.name}`)
    const rest =
      positional === 'folder' ? '_lorikeet_paths -d' : positional ? `_lorikeet_words ${quoted(positional.join(' '))}` : ':'
    return `    ${name})\n      if [[ $cur == -* ]]; then _lorikeet_words ${quoted(flags.join(' '))}; else ${rest}; fi ;;`
  })
  return `# bash completion for lorikeet: source <(lorikeet completion bash)
_lorikeet_words() {
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
}
_lorikeet_paths() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$1" -- "$cur"))
}
_lorikeet() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  COMPREPLY=()
  # --flag=value comes as three words.
  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  if ((COMP_CWORD == 1)); then
    _lorikeet_words ${quoted([...names, '--help', '--version'].join(' '))}
    return
  fi
  case "$command $prev" in
${arms.join('\n')}
  esac
  case "$command" in
${commands.join('\n')}
  esac
}
complete -F _lorikeet lorikeet
`
}

/** In zsh's specifications brackets and colons are its own. */
const zshText = (text: string) => text.replace(/[[\]:\\]/g, '\\$&')

function zshSpec({ name, values, repeatable, help }: Flag): string {
  const head = `${repeatable ? '*' : ''}--${name}`
  const text = `[${zshText(help)}]`
  switch (values.kind) {
    case 'none':
      return quoted(`${head}${text}`)
    case 'folder':
      return quoted(`${head}=${text}:folder:_files -/`)
    case 'file':
      return quoted(`${head}=${text}:file:_files`)
    case 'words':
      return quoted(`${head}=${text}:${name}:(${values.words.join(' ')})`)
    case 'any':
      return quoted(`${head}=${text}:${name}: `)
  }
}

function zsh(): string {
  const commands = COMMANDS.map((command) => {
    const { name, positional } = command
    const rest =
      positional === 'folder' ? [quoted('*:folder:_files -/')] : positional ? [quoted(`1:shell:(${positional.join(' ')})`)] : []
    return `    ${name})\n      _arguments \\\n${[...flagsOf(command).map(zshSpec), ...rest].map((spec) => `        ${spec}`).join(' \\\n')} ;;`
  })
  return `#compdef lorikeet
# zsh completion for lorikeet: lorikeet completion zsh > a folder of $fpath, as _lorikeet
_lorikeet() {
  if ((CURRENT == 2)); then
    local -a commands=(
${COMMANDS.map(({ name, summary }) => `      ${quoted(`${name}:${zshText(summary)}`)}`).join('\n')}
    )
    _describe command commands
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
${commands.join('\n')}
  esac
}
if [[ $funcstack[1] == _lorikeet ]]; then _lorikeet "$@"; else compdef _lorikeet lorikeet; fi
`
}

/** fish knows no \\n in single quotes, and no other escapes than these two. */
const fishQuoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`

function fish(): string {
  const FIRST = '__fish_use_subcommand'
  const lines = COMMANDS.flatMap((command) => {
    const { name, summary, positional } = command
    const inside = `complete -c lorikeet -n ${fishQuoted(`__fish_seen_subcommand_from ${name}`)}`
    const rest =
      positional === 'folder'
        ? [`${inside} -a '(__fish_complete_directories)'`]
        : positional
          ? [`${inside} -a ${fishQuoted(positional.join(' '))}`]
          : []
    const flags = flagsOf(command).map(({ name, values, help }) => {
      const takes = { none: '', any: ' -x', folder: " -x -a '(__fish_complete_directories)'", file: ' -r -F', words: '' }[
        values.kind
      ]
      const words = values.kind === 'words' ? ` -x -a ${fishQuoted(values.words.join(' '))}` : ''
      return `${inside} -l ${name}${takes}${words} -d ${fishQuoted(help)}`
    })
    return [`complete -c lorikeet -n ${FIRST} -a ${name} -d ${fishQuoted(summary)}`, ...rest, ...flags]
  })
  return `# fish completion for lorikeet: lorikeet completion fish > ~/.config/fish/completions/lorikeet.fish
complete -c lorikeet -f
complete -c lorikeet -n ${FIRST} -l help -d 'tell the commands'
complete -c lorikeet -n ${FIRST} -l version -d 'print the version'
${lines.join('\n')}
`
}

export const isShell = (name: string): name is Shell => (SHELLS as readonly string[]).includes(name)
