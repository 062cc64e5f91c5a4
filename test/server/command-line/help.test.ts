/** Helps are made from the rows that flags are read by: each names all of its flags. */
import t from 'tap'
import { COMMANDS, commandNamed, usage } from '../../../server/command-line/commands.ts'
import { helpText } from '../../../server/config/help.ts'
import { lorikeet } from '../cli/running.ts'

t.test('every flag of every command is in its help, once, and no line is longer than the terminal', async (t) => {
  for (const command of COMMANDS) {
    const help = helpText(command, 100)
    t.ok(help.startsWith(`lorikeet ${command.usage}\n\n`))
    t.match(usage(), command.summary)
    for (const name of Object.keys(command.flags))
      t.equal(help.match(new RegExp(`^ {2}--(\\[no-\\])?${name}( |$)`, 'gm'))?.length, 1, `${command.name} --${name}`)
    for (const line of help.split('\n').slice(1)) t.ok(line.length <= 100 || line.startsWith('  --'), line)
  }
})

t.test('groups name flags that there are', async (t) => {
  for (const { name, flags, groups = [] } of COMMANDS)
    for (const [, names] of groups)
      for (const flag of names.split(' ').filter(Boolean)) t.ok(Object.hasOwn(flags, flag), `${name}: ${flag}`)
})

t.test('commands and flags that are not there have a nearest one', async (t) => {
  t.ok(commandNamed('bench'))
  const wrong: [string[], RegExp][] = [
    [['chekc'], /unknown command chekc; did you mean check\?/],
    [['--hlep'], /unknown flag --hlep; did you mean --help\?/],
    [['help', 'bnech'], /unknown command bnech; did you mean bench\?/],
    [['key', '--tennant', 'x'], /unknown flag --tennant; did you mean --tenant\?/],
  ]
  for (const [args, message] of wrong) {
    const { code, stderr } = await lorikeet(args).ended
    t.equal(code, 1)
    t.match(stderr, message)
  }
  const { stdout } = await lorikeet(['help', 'check']).ended
  t.match(stdout, 'lorikeet check [MODEL_DIR] [flags]')
})
