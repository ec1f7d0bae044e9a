import { _, Ajv2020, type CodeOptions, type KeywordCxt, type Options } from 'ajv/dist/2020.js'
import { FORMATS, isWithin } from './formats.ts'

/** JSON Schema 2020-12 as Cardea speaks it: a compiler that knows our formats and keywords. */

/** What `FORMATS` and `isWithin` are called in the text of a compiled schema (standalone.ts). */
const FORMATS_NAME = _`FORMATS`
const IS_WITHIN_NAME = _`isWithin`

export function createAjv({ code, ...options }: Options & { readonly code: CodeOptions }): Ajv2020 {
  const made = new Ajv2020({
    ...options,
    allErrors: true,
    // Errors carry the schema they come from: expectations and near keys are read from it.
    verbose: true,
    strict: true,
    // These three refuse schemas that are unusual but right.
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    logger: false,
    code: { ...code, formats: FORMATS_NAME },
  })
  for (const [name, format] of Object.entries(FORMATS)) made.addFormat(name, format)
  // Ajv resolves it, but its strict mode does not know it.
  made.addKeyword('$anchor')
  made.addKeyword({ keyword: 'patternErrorMessage', schemaType: 'string' })
  made.addKeyword({ keyword: 'unknownKeyHint', schemaType: 'string' })
  for (const [keyword, sign] of [
    ['formatMinimum', 1],
    ['formatMaximum', -1],
  ] as const) {
    made.addKeyword({
      keyword,
      type: 'string',
      schemaType: 'string',
      error: { message: `must be ${sign === 1 ? 'at least' : 'at most'} the ${keyword}` },
      code(context: KeywordCxt) {
        const { data, schema, parentSchema } = context
        const check = context.gen.scopeValue('func', { ref: isWithin, code: IS_WITHIN_NAME })
        context.fail(_`!${check}(${data}, ${schema}, ${String(parentSchema.format)}, ${sign})`)
      },
    })
  }
  return made
}
