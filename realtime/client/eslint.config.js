import eslint from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist', 'node_modules'] },
  eslint.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      'no-console': 'error',
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true, defaultFrom: true } }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'never' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    },
  },
  // The parser is where an assertion may stand; the example prints.
  { files: ['src/parse.ts'], rules: { '@typescript-eslint/consistent-type-assertions': 'off' } },
  // supabase-js takes a Database of type literals only: an interface has no index signature.
  {
    files: ['src/tables.ts'],
    rules: {
      '@typescript-eslint/consistent-type-definitions': 'off', '@typescript-eslint/consistent-indexed-object-style': 'off',
      '@typescript-eslint/no-generated-empty-object-type': 'off',
    },
  },
  { files: ['examples/**'], rules: { 'no-console': 'off' } },
  { files: ['*.js', '*.config.ts', 'scripts/**'], extends: [tseslint.configs.disableTypeChecked], rules: { 'no-restricted-exports': 'off' } },
  { files: ['scripts/**'], languageOptions: { globals: { process: 'readonly', URL: 'readonly' } } },
)
