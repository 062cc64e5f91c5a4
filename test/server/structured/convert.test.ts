/** Regular expressions, choices, grammars and structural tags: what their grammars take, and what is refused. */
import t from 'tap'
import { matching, refusal } from '../../support/matching.ts'

t.test('a regular expression is the whole answer', async (t) => {
  for (const [pattern, yes, no] of [
    ['a|bc', ['a', 'bc'], ['ab', 'abc', '']],
    ['^\\d{3}-\\d{4}$', ['555-1234'], ['555-12345', '55-1234']],
    ['[a-c]+?x*', ['abcx', 'a'], ['', 'd', 'x']],
    ['(?<year>\\d{2}){2,3}', ['1234', '123456'], ['123', '12']],
    ['(?:é|好)+.', ['é!', '好好é', 'é好'], ['e', 'é\n']],
    ['[^a"]', ['b', 'é', '😀'], ['a', '"']],
    ['\\w+\\s\\W', ['ab é', 'A_9\t-'], ['é b', 'ab']],
    ['a{0}b?', ['', 'b'], ['a', 'bb']],
    ['[éèê]', ['é', 'ê'], ['e', 'ë']],
    ['', [''], ['a']],
    ['[一-龥]+', ['一', '龥中'], ['a', '龦', '丿a', '㐀']],
    ['\\p{Lu}\\p{Ll}*', ['A', 'Éa', 'Ωμέγα'], ['a', '1', 'AB', 'é']],
    ['[^\\p{L}\\d]', ['-', ' ', '😀'], ['a', 'é', '5', '好']],
    ['[é-ü\\u{1F600}-\\u{1F64F}]', ['é', 'ü', '😀', '🙏'], ['è', 'ý', '🙐', 'e']],
    ['a\\s', ['a ', 'a\u00a0', 'a\u3000'], ['a', 'a\u200b']],
    ['(?=.*\\d)(?=.*[A-Z])[A-Za-z\\d]{4,6}', ['a1Bc', 'ABC123'], ['abcd', 'a1bc', 'AB1', 'ABCDEF7']],
    ['(?!admin|root$)[a-z]+', ['user', 'rooted', 'adm'], ['admin', 'root', 'administrator', '']],
    ['ab(?=c.)c(d|e)', ['abcd', 'abce'], ['abc', 'abcf']],
    ['\\u{1F600}|\\x41|\\n|\\.', ['😀', 'A', '\n', '.'], ['B', 'x']],
    ['[\\]\\-\\\\^]', [']', '-', '\\', '^'], ['a']],
  ] as [string, string[], string[]][]) {
    const takes = await matching({ kind: 'regex', pattern })
    for (const text of yes) t.ok(await takes(text), `/${pattern}/ takes ${JSON.stringify(text)}`)
    for (const text of no) t.notOk(await takes(text), `/${pattern}/ does not take ${JSON.stringify(text)}`)
  }
})

t.test('what is no regular expression, or cannot be had, is refused by name', async (t) => {
  for (const [pattern, message] of [
    ['(a(?=b))*', /lookahead/],
    ['a(?=b(?=c))', /lookahead/],
    ['(?<!a)b', /lookbehind/],
    ['(a)\\1', /back reference/],
    ['\\bа', /word boundary/],
    ['a(^b)', /anchor/],
    ['a\\Z', /escape/],
    ['(', /no regular expression/],
    ['[]', /no text/],
    ['a(?!)(?=b)c', /no text/],
    ['(?=(a|b)*a(a|b){14}c)[ab]*c', /too large/],
  ] as const)
    await t.rejects(matching({ kind: 'regex', pattern }), { message }, pattern)
})

t.test("choices, and grammars with XGrammar's own complaints", async (t) => {
  const choices = await matching({ kind: 'choice', choices: ['yes', 'no "really"\n', 'é'] })
  for (const text of ['yes', 'no "really"\n', 'é']) t.ok(await choices(text), text)
  for (const text of ['ye', 'yesno', '']) t.notOk(await choices(text), text)
  await t.rejects(matching({ kind: 'choice', choices: ['a', '\ud800'] }), /surrogate/)
  const grammar = await matching({ kind: 'grammar', ebnf: 'root ::= "a" [0-9]{2} | other\nother ::= "é"+' })
  t.ok((await grammar('a12')) && (await grammar('éé')))
  t.notOk(await grammar('a1'))
  await t.rejects(matching({ kind: 'grammar', ebnf: 'root ::= [' }), { message: /column/ })
  await t.rejects(matching({ kind: 'grammar', ebnf: 'root ::= nothing' }), { message: /nothing/ })
  for (const [range, yes, no] of [
    ['[α-ω]', ['α', 'ς', 'ω'], ['Ω', 'a', 'ϊ']],
    ['[\\u0400-\\u04ff_-]', ['Ж', '_', '-'], ['α', 'a']],
    ['[^\\U0001F600\\]a]', ['😁', 'é', 'b'], ['😀', ']', 'a']],
    ['("x" [é])+', ['xé', 'xéxé'], ['x', 'xe']],
  ] as const) {
    const takes = await matching({ kind: 'grammar', ebnf: `root ::= ${range}` })
    for (const text of yes) t.ok(await takes(text), `${range} takes ${text}`)
    for (const text of no) t.notOk(await takes(text), `${range} does not take ${text}`)
  }
  await t.rejects(matching({ kind: 'grammar', ebnf: 'root ::= [ω-α]' }), /ends before/)
  t.ok(await (await matching({ kind: 'grammar', ebnf: 'root ::= "[α-ω]" # [é]' }))('[α-ω]'))
})

t.test('structural tags, as they are and as they were', async (t) => {
  const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
  const today = await matching({
    kind: 'structural_tag',
    tag: {
      type: 'structural_tag',
      format: {
        type: 'triggered_tags',
        triggers: ['<f='],
        tags: [{ type: 'tag', begin: '<f=a>', content: { type: 'json_schema', json_schema: schema }, end: '</f>' }],
      },
    },
  })
  const before = await matching({
    kind: 'structural_tag',
    tag: { structures: [{ begin: '<f=a>', schema, end: '</f>' }], triggers: ['<f='] },
  })
  for (const takes of [today, before]) {
    for (const text of ['hello', 'so: <f=a>{"a":1}</f> and on']) t.ok(await takes(text), text)
    for (const text of ['<f=b>', '<f=a>{"a":"x"}</f>']) t.notOk(await takes(text), text)
  }
  const not = { type: 'json_schema', json_schema: { not: { format: 'date' } } }
  const nested = { format: { type: 'sequence', elements: [not] } }
  t.equal((await refusal({ kind: 'structural_tag', tag: nested })).at, 'format.elements.0.json_schema.not.format')
  await t.rejects(matching({ kind: 'structural_tag', tag: { format: { type: 'nothing' } } }))
  await t.rejects(matching({ kind: 'structural_tag', tag: {} }), /object with a type/)
})

t.test('parameters as XML: what they are held to, and keywords that would be passed over', async (t) => {
  const ofValue = (a: object, rest: object = {}) => ({
    kind: 'structural_tag' as const,
    tag: { format: { type: 'qwen_xml_parameter', json_schema: { type: 'object', properties: { a }, required: ['a'], ...rest } } },
  })
  for (const [schema, yes, no] of [
    [{ type: 'integer' }, '8', 'x'],
    [{ type: 'integer', minimum: 8, maximum: 9 }, '8', '7'],
    [{ type: 'integer', exclusiveMinimum: 7, exclusiveMaximum: 9 }, '8', '9'],
    [{ enum: [8, 9] }, '8', '7'],
    [{ const: 8 }, '8', '7'],
    [{ anyOf: [{ type: 'boolean' }, { type: 'null' }] }, 'true', '8'],
    [{ type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 2 }, '[8]', '[]'],
    [{ $ref: '#/$defs/b' }, '8', 'x'],
  ] as const) {
    const takes = await matching(ofValue(schema, { $defs: { b: { type: 'integer' } } }))
    t.ok(await takes(`<parameter=a>${yes}</parameter>`), `${JSON.stringify(schema)} takes ${yes}`)
    t.notOk(await takes(`<parameter=a>${no}</parameter>`), `${JSON.stringify(schema)} does not take ${no}`)
  }
  const at = async (constraint: ReturnType<typeof ofValue>) => (await refusal(constraint)).at
  t.equal(await at(ofValue({ type: 'integer', multipleOf: 7 })), 'format.json_schema.properties.a.multipleOf')
  t.equal(await at(ofValue({ anyOf: [{ not: { const: 8 } }] })), 'format.json_schema.properties.a.anyOf.0.not')
  t.equal(await at(ofValue({}, { dependentRequired: { a: ['b'] } })), 'format.json_schema.dependentRequired')
  t.equal(await at(ofValue({ $ref: '#/$defs/b', minimum: 3 }, { $defs: { b: {} } })), 'format.json_schema.properties.a.$ref')
  t.equal(await at(ofValue({}, { $defs: { b: { uniqueItems: true } } })), 'format.json_schema.$defs.b.uniqueItems')
})
