"""What container runtimes call: a program that starts fast (`shim`), and behind its socket the daemon that answers.

`messages` is the specification's side of it (CNI 0.3.0 to 1.1.0): questions, results by version, error codes.
`install` puts program and configuration where runtimes look.
"""
