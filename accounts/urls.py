"""Addresses of the pages about accounts."""

from __future__ import annotations

from django.urls import path

from accounts.views import people, profile, session

urlpatterns = [
    path("sign-in/", session.sign_in, name="sign-in"),
    path("sign-out/", session.sign_out, name="sign-out"),
    path("profile/", profile.profile, name="profile"),
    path("profile/theme/", profile.theme, name="theme"),
    path("profile/password/", profile.password, name="password"),
    path("profile/tokens/<int:pk>/revoke/", profile.revoke, name="token-revoke"),
    path("users/", people.users, name="users"),
    path("users/create/", people.create_user, name="user-create"),
    path("users/<int:pk>/", people.edit_user, name="user-edit"),
    path("users/<int:pk>/switch/", people.switch_user, name="user-switch"),
    path("users/<int:pk>/password/", people.reset_password, name="user-password"),
    path("roles/", people.roles, name="roles"),
    path("roles/create/", people.edit_role, name="role-create"),
    path("roles/<int:pk>/", people.edit_role, name="role-edit"),
    path("roles/<int:pk>/delete/", people.delete_role, name="role-delete"),
]
