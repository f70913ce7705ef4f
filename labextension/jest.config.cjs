/** JupyterLab's packages are CommonJS or ES modules; all are turned into what Jest reads by esbuild. */
module.exports = {
  testEnvironment: 'jsdom',
  testMatch: [
    '<rootDir>/src/__tests__/*.test.ts',
    '<rootDir>/src/__tests__/*.test.tsx'
  ],
  transform: {
    '\\.(m?[jt]s|tsx)$': '<rootDir>/scripts/jest-esbuild.cjs'
  },
  transformIgnorePatterns: [
    '/node_modules/(?!(@jupyterlab|@jupyter|@lumino|lib0|y-protocols|yjs|color|color-string|color-convert|color-name|@xterm|@codemirror|@lezer|@microsoft|exenv-es6|nanoid|vscode-ws-jsonrpc|@rjsf|json-schema-.*)/)'
  ],
  moduleNameMapper: {
    '\\.(css|svg)$': '<rootDir>/scripts/jest-empty.cjs'
  },
  setupFiles: ['<rootDir>/scripts/jest-setup.cjs']
};
